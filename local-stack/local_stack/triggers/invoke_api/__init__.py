"""The Lambda API that boto3 talks to."""
