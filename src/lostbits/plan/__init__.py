"""From statistics to parameters: ranges, bias scales, and wishes for single tensors."""
