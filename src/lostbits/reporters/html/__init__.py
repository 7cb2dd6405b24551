"""What report.html is made of: templates, style, scripts, and the figures that they show."""
