"""What `/metrics` says, as numbers by name and labels."""

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


def read_metrics(text: bytes) -> dict[tuple[str, Labels], float]:
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
