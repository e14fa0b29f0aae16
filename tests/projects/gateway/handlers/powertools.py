"""Powertools' event handlers, one for each kind of address."""

from aws_lambda_powertools.event_handler import (
    APIGatewayHttpResolver,
    APIGatewayRestResolver,
    LambdaFunctionUrlResolver,
)

_REST, _HTTP, _URL = APIGatewayRestResolver(), APIGatewayHttpResolver(), LambdaFunctionUrlResolver()


def _orders(app):
    @app.get("/app/orders/<order_id>")
    def order(order_id):
        event = app.current_event
        return {
            "order": order_id,
            "tags": event.resolved_query_string_parameters.get("tag"),
            "agent": event.headers["User-Agent"],
            "stage": event.request_context.stage,
        }


for _app in (_REST, _HTTP, _URL):
    _orders(_app)


def rest(event, context):
    return _REST.resolve(event, context)


def http(event, context):
    return _HTTP.resolve(event, context)


def url(event, context):
    return _URL.resolve(event, context)
