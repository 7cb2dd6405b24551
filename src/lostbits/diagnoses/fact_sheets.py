"""What a result tells of its model and of its target."""

from lostbits.graph.queries import name_of
from lostbits.language import verbatim
from lostbits.results.facts import ModelFacts, RuleFacts, TargetFacts
from lostbits.runtime.float_reference import Reference
from lostbits.target import Rule, Target


def model_facts(reference: Reference, sites: int) -> ModelFacts:
    """The file, and what it holds."""
    graph = reference.model.graph
    return ModelFacts(
        path=str(reference.path),
        sha256=reference.sha256,
        inputs=[name_of(v) for v in graph.inputs],
        outputs=[name_of(v) for v in graph.outputs],
        nodes=graph.num_nodes(),
        sites=sites,
        normalised=reference.changes,
        metadata=dict(reference.plain.metadata_props),
    )


def rule_facts(rule: Rule) -> RuleFacts:
    """The rule of one role; a method that is no built-in one stands by its name."""
    method = rule.method_name
    return RuleFacts(
        rule.grid,
        rule.symmetric,
        rule.per_channel,
        method,
        rule.power_of_two,
        rule.minimum_range,
    )


def target_facts(target: Target) -> TargetFacts:
    """Its rules and their sources."""
    return TargetFacts(
        name=target.name,
        title=verbatim(target.title),
        weights=rule_facts(target.weights),
        activations=rule_facts(target.activations),
        bias_bits=target.bias_bits,
        takes=verbatim(target.takes),
        sources=list(target.sources),
    )
