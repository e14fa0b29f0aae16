"""Intrinsic functions: what is known is resolved, what is not is an error with file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.templates import Project

if TYPE_CHECKING:
    from pathlib import Path

PARAMETERS = """\
Parameters:
  Colour: {Type: String, Default: blue}
  Servers: {Type: CommaDelimitedList, Default: "a:1, b:2"}
  Secret: {Type: String, NoEcho: true}
  Flag: {Type: String, Default: true}
  Count: {Type: Number, Default: 3, MinValue: 1, MaxValue: 5}
Mappings:
  Sizes:
    blue: {width: "12", deep: yes}
    123456789012: {width: "1"}
Conditions:
  IsBlue: !Equals [!Ref Colour, blue]
  IsFlagged: !Equals [!Ref Flag, true]
  IsNot: !Not [!Condition IsBlue]
  Both: !And [!Condition IsBlue, !Condition IsFlagged]
  Either: !Or [!Condition IsNot, !Condition IsFlagged]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!Ref Colour", "blue"),
        ("!Ref Count", "3"),
        ("!Ref Flag", "true"),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref AWS::AccountId", "000000000000"),
        ("!Ref AWS::Partition", "aws"),
        ("!Ref AWS::URLSuffix", "amazonaws.com"),
        ("!Ref AWS::StackName", "local-stack"),
        ("!Ref Hello", "Hello"),
        ("{Ref: Colour}", "blue"),
        ('!Sub "${Colour}-${AWS::Region}"', "blue-us-east-1"),
        ('!Sub "${!Literal} ${Colour}"', "${Literal} blue"),
        ('!Sub ["${x}/${Colour}", {x: !Ref Count}]', "3/blue"),
        ('!Sub "${Hello.Arn}"', "arn:aws:lambda:us-east-1:000000000000:function:Hello"),
        ('!Sub "${ Colour }"', "blue"),
        ("!Sub plain", "plain"),
        ("!Join ['-', [a, !Ref Colour, 1, true]]", "a-blue-1-true"),
        ("!Join [',', !Ref Servers]", "a:1,b:2"),
        ("!Select [1, !Split [',', 'x,y,z']]", "y"),
        ("!Select ['0', !Ref Servers]", "a:1"),
        ("!Select [!Select [0, ['1']], [a, b]]", "b"),
        ("!GetAtt Hello.Arn", "arn:aws:lambda:us-east-1:000000000000:function:Hello"),
        (
            "{'Fn::GetAtt': [Hello, Arn]}",
            "arn:aws:lambda:us-east-1:000000000000:function:Hello",
        ),
        ("!FindInMap [Sizes, !Ref Colour, width]", "12"),
        ("!FindInMap [Sizes, '123456789012', width]", "1"),
        ("!Base64 hello", "aGVsbG8="),
        ("!If [IsBlue, yes-blue, no-blue]", "yes-blue"),
        ("!If [IsNot, yes-not, no-not]", "no-not"),
        ("!If [IsFlagged, flagged, plain]", "flagged"),
        ("!If [Both, both, one]", "both"),
        ("!If [Either, either, none]", "either"),
        ("{'Fn::If': [IsBlue, !Ref Colour, !Ref Secret]}", "blue"),
        ("{'Fn::GetAtt': Hello.Arn}", "arn:aws:lambda:us-east-1:000000000000:function:Hello"),
        ('!Sub "${Hello.Version}"', "arn:aws:lambda:us-east-1:000000000000:function:Hello:1"),
        ("!Join [' ', !GetAZs us-east-1]", "us-east-1a us-east-1b us-east-1c"),
        ("!Join [' ', !GetAZs '']", "us-east-1a us-east-1b us-east-1c"),
        ("!Join [' ', !Cidr [10.0.0.0/16, 2, 8]]", "10.0.0.0/24 10.0.1.0/24"),
        ("!Select [1, !Cidr [10.0.0.0/23, 2]]", "10.0.1.0/24"),
        ("!Join [',', !Ref 'AWS::NotificationARNs']", ""),
    ],
)
def test_an_intrinsic_is_resolved(project: Project, value: str, expected: str) -> None:
    assert project.variable(value, before=PARAMETERS) == expected


REFERABLE = """\
  Api: {Type: AWS::Serverless::HttpApi}
  Rest: {Type: AWS::Serverless::Api, Properties: {StageName: dev}}
  Other:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.11, Handler: a.b, CodeUri: code/, FunctionName: Other-Name,
      AutoPublishAlias: live, FunctionUrlConfig: {AuthType: NONE}}
  Layer: {Type: AWS::Serverless::LayerVersion, Properties: {LayerName: lib, ContentUri: code/}}
  Table: {Type: AWS::DynamoDB::Table, Properties: {TableName: !Sub "t-${AWS::Region}"}}
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: b}}
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: q}}
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: t}}
  Nameless: {Type: AWS::DynamoDB::Table}
  Secret: {Type: AWS::SecretsManager::Secret, Properties: {Name: s}}
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!Ref Api", "api"),  # ids of APIs are parts of host names
        ("!Ref ServerlessRestApi", "serverlessrestapi"),
        ("!GetAtt Api.ApiEndpoint", "https://api.execute-api.us-east-1.amazonaws.com"),
        ("!GetAtt Api.ApiId", "api"),
        ("!Ref Api.Stage", "$default"),
        ("!Sub '${Rest}/${Rest.Stage}'", "rest/dev"),
        ("!Ref ServerlessRestApi.Stage", "Prod"),
        ("!Ref Other.Alias", "arn:aws:lambda:us-east-1:000000000000:function:Other-Name:live"),
        ("!GetAtt OtherUrl.FunctionUrl", "https://other-name.lambda-url.us-east-1.on.aws/"),
        ("!Ref Layer", "arn:aws:lambda:us-east-1:000000000000:layer:lib:1"),
        ("!Ref Table", "t-us-east-1"),
        ("!GetAtt Table.Arn", "arn:aws:dynamodb:us-east-1:000000000000:table/t-us-east-1"),
        ("!Ref Bucket", "b"),
        ("!GetAtt Bucket.Arn", "arn:aws:s3:::b"),
        ("!Ref Queue", "https://sqs.us-east-1.amazonaws.com/000000000000/q"),
        ("!GetAtt Queue.Arn", "arn:aws:sqs:us-east-1:000000000000:q"),
        ("!Ref Topic", "arn:aws:sns:us-east-1:000000000000:t"),
    ],
)
def test_a_resource_is_what_can_be_known_of_it(project: Project, value: str, expected: str) -> None:
    properties = f"Environment: {{Variables: {{VALUE: {value}}}}}"

    assert project.function_of(properties, after=REFERABLE).variables["VALUE"] == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("!Ref Nameless", "Ref Nameless: only AWS knows the name of this AWS::DynamoDB::Table"),
        ("!Sub 'x-${Nameless}'", "Ref Nameless: only AWS knows the name of this AWS::Dyna"),
        ("!GetAtt Nameless.Arn", "Fn::GetAtt Nameless.Arn cannot be known locally"),
        ("!GetAtt Table.StreamArn", "Fn::GetAtt Table.StreamArn cannot be known locally"),
        ("!Ref Secret", "Ref Secret: only AWS knows the name of this AWS::SecretsManager::Secret"),
        ("!Ref Hello.Alias", "Ref Hello.Alias: only AWS knows"),
        ("!GetAtt HelloRole.Arn", "Fn::GetAtt: no resource 'HelloRole'"),
    ],
)
def test_a_resource_of_which_nothing_can_be_known_is_an_error(
    project: Project, value: str, message: str
) -> None:
    refusal = project.function_refusal(
        f"Environment: {{Variables: {{VALUE: {value}}}}}", after=REFERABLE
    )

    assert message in refusal
    assert refusal.startswith(
        "template.yaml:8: Resources.Hello.Properties.Environment.Variables.VALUE"
    )


def test_a_name_may_not_be_made_of_itself(project: Project) -> None:
    refusal = project.function_refusal("FunctionName: !Sub '${Hello}-x'")

    assert "Hello refers to itself" in refusal


EXTENDED = """\
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Mappings: {Sizes: {small: {width: 1}}}
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("!Length [a, b, c]", "3"),
        ("!ToJsonString {a: [1, !Ref 'AWS::Region']}", '{"a":[1,"us-east-1"]}'),
        ("!FindInMap [Sizes, big, width, {DefaultValue: !Ref 'AWS::Region'}]", "us-east-1"),
        ("!FindInMap [Sizes, small, width, {DefaultValue: 7}]", "1"),
    ],
)
def test_the_language_extensions_are_understood_where_they_are_asked_for(
    project: Project, value: str, expected: str
) -> None:
    assert project.variable(value, before=EXTENDED) == expected
    before = "Mappings: {Sizes: {small: {width: 1}}}\n"
    refusal = project.function_refusal(
        f"Environment: {{Variables: {{VALUE: {value}}}}}", before=before
    )
    assert "cannot be known locally" in refusal or "takes a map and two keys" in refusal


def test_an_override_wins_over_the_default(project: Project) -> None:
    assert project.variable("!Ref Colour", before=PARAMETERS, Colour="red") == "red"


def test_a_condition_follows_an_override(project: Project) -> None:
    value = "!If [IsBlue, yes-blue, no-blue]"

    assert project.variable(value, before=PARAMETERS, Colour="red") == "no-blue"


def test_a_parameter_without_value_is_fine_until_it_is_used(project: Project) -> None:
    assert project.variable("!Ref Secret", before=PARAMETERS, Secret="hush") == "hush"
    assert project.variable("!Ref Colour", before=PARAMETERS) == "blue"


def test_no_value_drops_a_key_and_a_list_item(project: Project) -> None:
    properties = """
        Timeout: !Ref AWS::NoValue
        Environment:
          Variables:
            GONE: !If [IsNot, there, !Ref AWS::NoValue]
            LIST: !Join ["-", [a, !Ref "AWS::NoValue", b]]
    """

    function = project.function(properties, before=PARAMETERS)

    assert function.timeout_s == 3.0
    assert function.variables == {"LIST": "a-b"}


def test_a_reference_to_a_function_is_its_name(project: Project) -> None:
    properties = """
        FunctionName: !Sub "${AWS::StackName}-hello"
        Environment:
          Variables:
            SELF: !Ref Hello
            ARN: !GetAtt Hello.Arn
    """

    function = project.function(properties)

    assert function.name == "local-stack-hello"
    assert function.variables["SELF"] == "local-stack-hello"
    assert function.variables["ARN"] == function.arn
    assert function.arn.endswith(":function:local-stack-hello")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("!Ref Nothing", "Ref 'Nothing' names neither a parameter nor a resource"),
        ("!Ref Secret", "parameter Secret has no value"),
        ("!Ref {a: b}", "Ref takes a name"),
        ('!Sub "${Nothing}"', "Ref 'Nothing' names neither"),
        ('!Sub "${Nothing.Arn}"', "no resource 'Nothing'"),
        ("!Sub [a]", "Fn::Sub takes a text"),
        ("!Sub {a: b}", "Fn::Sub takes a text"),
        ("!Sub [a, b, c]", "Fn::Sub takes a text"),
        ("!Join [x]", "Fn::Join takes a list of two"),
        ("!Join [x, text]", "Fn::Join joins a list"),
        ("!Split [',']", "Fn::Split takes a list of two"),
        ("!Split ['', 'a,b']", "Fn::Split splits at a text"),
        ("!Select [2, [a, b]]", "no item 2"),
        ("!Select [-1, [a, b]]", "whole number"),
        ("!Select [x, [a, b]]", "whole number"),
        ("!Select [0, text]", "whole number and a list"),
        ("!GetAtt Hello.Version", "Hello.Version cannot be known locally"),
        ("!GetAtt Nothing.Arn", "no resource 'Nothing'"),
        ("!GetAtt Hello", "Fn::GetAtt takes a list of two"),
        ("!FindInMap [Sizes, red, width]", "no key 'red'"),
        ("!FindInMap [Sizes, blue, width, more]", "takes a map and two keys"),
        ("!FindInMap [Nothing, blue, width]", "no key 'Nothing'"),
        ("!If [IsBlue, a]", "takes a condition and two values"),
        ("!If [Nothing, a, b]", "Conditions.Nothing: no such condition"),
        ("!If [[a], a, b]", "a condition is a name"),
        ("!ImportValue other-stack", "Fn::ImportValue cannot be known locally"),
        ("!Transform {Name: 'AWS::Include'}", "Fn::Transform cannot be known locally"),
        ("!Cidr [a, 1, 2]", "Fn::Cidr: 'a' does not appear to be an IPv4 or IPv6 network"),
        ("!Cidr [10.0.0.0/24, 3, 7]", "10.0.0.0/24 has no 3 blocks of 7 bits"),
        ("!Cidr [10.0.0.0/16, 257, 8]", "Fn::Cidr gives 1 to 256 blocks"),
        ("!Cidr [10.0.0.0/16]", "Fn::Cidr takes a block, a count, and bits"),
        ("!GetAZs us-east-1", "is a text"),
        ("[a, b]", "is a text"),
        ("{a: b}", "is a text"),
        ("!If [IsBlue, !Ref Secret, x]", "parameter Secret has no value"),
    ],
)
def test_what_cannot_be_known_is_an_error(project: Project, value: str, message: str) -> None:
    refusal = project.function_refusal(
        f"Environment: {{Variables: {{VALUE: {value}}}}}", before=PARAMETERS
    )

    assert message in refusal
    assert refusal.startswith("template.yaml"), refusal


def test_an_error_names_file_line_path_and_remedy(project: Project) -> None:
    refusal = project.function_refusal(
        """
        Environment:
          Variables:
            URL: !Ref Url
        """,
        before="Parameters:\n  Url:\n    Type: String\n",
    )

    assert refusal == (
        "template.yaml:14: Resources.Hello.Properties.Environment.Variables.URL: "
        "parameter Url has no value "
        "(set it in [tool.local-stack.parameters] or give it a Default)"
    )


@pytest.mark.parametrize(
    ("parameter", "given", "message"),
    [
        ("{Type: String, AllowedValues: [a, b]}", "c", "'c' is not one of ['a', 'b']"),
        ("{Type: String, AllowedPattern: '[a-z]+'}", "A1", "does not match '[a-z]+'"),
        ("{Type: Number}", "many", "'many' is not a number"),
        ("{Type: Number, MinValue: 1}", "0", "0 is below MinValue 1"),
        ("{Type: Number, MaxValue: 5}", "6", "6 is above MaxValue 5"),
        ("{Type: List<Number>}", "1, x", "'x' is not a number"),
        ("{Type: CommaDelimitedList, AllowedValues: [a, b]}", "a,c", "'c' is not one of"),
        ("{Type: String, MinLength: 2}", "a", "a length of 1 is below MinLength 2"),
        ("{Type: String, MaxLength: 2}", "abc", "a length of 3 is above MaxLength 2"),
        ("{Type: String, NoEcho: true, AllowedValues: [a]}", "hush", "the value is not one of"),
    ],
)
def test_a_parameter_keeps_its_own_rules(
    project: Project, parameter: str, given: str, message: str
) -> None:
    refusal = project.refusal(f"Parameters: {{P: {parameter}}}\nResources: {{}}\n", P=given)

    assert message in refusal
    assert "Parameters.P" in refusal
    assert refusal.startswith("template.yaml:1:")


@pytest.mark.parametrize(("low", "high"), [("1", "5"), ("5", "1")])
def test_a_number_at_its_bounds_is_taken(project: Project, low: str, high: str) -> None:
    template = "Parameters: {P: {Type: Number, MinValue: 1, MaxValue: 5}}\nResources: {}\n"

    assert project.load(template, P=low).functions == {}
    assert project.load(template, P=high).functions == {}


def test_an_override_that_no_parameter_takes_is_refused(project: Project) -> None:
    refusal = project.refusal("Parameters: {A: {Type: String}}\nResources: {}\n", B="1")

    assert "Parameters.B: no such parameter; declared are: A" in refusal


def test_a_value_that_is_kept_elsewhere_is_not_taken_for_the_value(project: Project) -> None:
    before = """\
        Parameters:
          Key: {Type: "AWS::SSM::Parameter::Value<String>", Default: /stage/key}
    """

    assert project.variable("!Ref Key", before=before, Key="given") == "given"
    refusal = project.function_refusal("Environment: {Variables: {VALUE: !Ref Key}}", before=before)
    assert "parameter Key has no value here: AWS keeps it in Systems Manager" in refusal


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ("{A: !Condition B, B: !Condition A}", "it depends on itself"),
        ("{A: !Not []}", "Fn::Not takes a list of one condition"),
        ("{A: !And text}", "takes a list of conditions"),
        ("{A: !Or [text]}", "a condition is true or false"),
        ("{A: !Equals [a]}", "Fn::Equals takes a list of two"),
        ("{A: {B: c}}", "a condition is true or false"),
        ("{A: text}", "not a mapping"),
    ],
)
def test_a_condition_is_true_or_false(project: Project, conditions: str, message: str) -> None:
    resources = "Resources: {X: {Type: AWS::Serverless::Function, Condition: A}}"

    refusal = project.refusal(f"Conditions: {conditions}\n{resources}\n")

    assert message in refusal
    assert refusal.startswith("template.yaml")


def test_a_resource_whose_condition_does_not_hold_is_left_out(project: Project) -> None:
    template = project.load(
        """
        Conditions:
          Never: !Equals [a, b]
        Resources:
          Broken:
            Type: AWS::Serverless::Function
            Condition: Never
            Properties: {Runtime: cobol}
        """
    )

    assert template.functions == {}
