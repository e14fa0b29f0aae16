from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.kafka import ConsumerRecords, SchemaConfig, kafka_consumer

logger = Logger(service="orders")
schema = SchemaConfig(value_schema_type="JSON")


@kafka_consumer(schema_config=schema)
def handler(event: ConsumerRecords, context):
    """Handle every order; name those that failed, so that only they come again."""
    failures = []
    for record in event.records:
        try:
            handle(record.value)
        except (KeyError, TypeError, ValueError):
            logger.exception("order refused", offset=record.offset)
            identifier = {
                "partition": f"{record.topic}-{record.partition}",
                "offset": record.offset,
            }
            failures.append({"itemIdentifier": identifier})
    return {"batchItemFailures": failures}


def handle(order):
    if order["quantity"] <= 0:
        raise ValueError("a quantity is positive")
    logger.info("order handled", order_id=order["id"])
