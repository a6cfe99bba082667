"""A plugin of the AWS CLI that notes which operations it called, as the suite asks by a variable."""

import os


def awscli_initialize(events):
    events.register("response-received.kinesis", received)


def received(event_name, response_dict, **_):
    if response_dict is None:
        return
    encoding = "cbor" if "cbor" in response_dict["headers"].get("content-type", "") else "json"
    with open(os.environ["MILLSTREAM_CALLS"], "a") as calls:
        calls.write(f"{event_name.split('.')[2]} {encoding} {response_dict['status_code']}\n")
