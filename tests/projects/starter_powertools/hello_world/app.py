from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from greetings import greet

app = APIGatewayRestResolver()
logger = Logger()
metrics = Metrics()


@app.get("/hello")
def hello():
    metrics.add_metric(name="HelloWorldInvocations", unit=MetricUnit.Count, value=1)
    logger.warning("somebody says hello")
    return {"message": greet("world")}


@app.get("/hello/<name>")
def hello_name(name: str):
    if name == "nobody":
        raise NotFoundError("there is nobody")
    return {"message": greet(name), "stage": app.current_event.request_context.stage}


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST)
@metrics.log_metrics(capture_cold_start_metric=True)
def lambda_handler(event, context):
    return app.resolve(event, context)
