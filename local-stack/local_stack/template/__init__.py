"""template.yaml → frozen models."""
