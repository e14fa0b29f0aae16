"""What awslambdaric talks to: one file a route."""
