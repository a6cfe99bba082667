"""The clients: what each needs, and how its suite is started."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
TARGET = ROOT / "target" / "clients"

PYTHON = TARGET / "venv" / "bin" / "python"
JAVA_CLASSES = TARGET / "java" / "classes"
JAVA_LIBRARIES = TARGET / "java" / "lib"


@dataclass
class Client:
    """One column of the table."""

    # The part of tests/clients/install that it needs, and the files that this leaves.
    install: str
    needs: list
    # From its variables and the scheme to what is run.
    command: Callable
    schemes: tuple = ("http", "https")
    moto: bool = False
    # Whether its suite gets a node whose clock it can move.
    clocked: bool = True
    directory: Path = field(default=TARGET)


def python(name):
    return Client("python", [PYTHON], lambda env, scheme: [PYTHON, HERE / name / "suite.py"])


def java(main, *arguments, schemes=("http", "https"), moto=False, clocked=True):
    """A class of tests/clients/java, with the node's authority in a trust store."""

    def command(env, scheme):
        words = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        if scheme == "https":
            store = trust_store(Path(env["AWS_CA_BUNDLE"]))
            words += [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit"]
        return [*words, "-cp", f"{JAVA_CLASSES}:{JAVA_LIBRARIES}/*", main, *arguments]

    return Client("java", [JAVA_CLASSES / "millstream", JAVA_LIBRARIES], command, schemes=schemes, moto=moto, clocked=clocked)


def trust_store(authorities):
    """The authorities as Java wants them."""
    store = authorities.with_suffix(".p12")
    store.unlink(missing_ok=True)
    for number, text in enumerate(authorities.read_text().split("-----END CERTIFICATE-----")[:-1]):
        subprocess.run(
            ["keytool", "-importcert", "-noprompt", "-storetype", "PKCS12", "-keystore", store, "-storepass", "changeit", "-alias", f"ca{number}"],
            input=f"{text.strip()}\n-----END CERTIFICATE-----\n", text=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
    return store


CLIENTS = {
    "boto3": python("boto3"),
    "aws-cli": python("awscli"),
    "js": Client("js", [TARGET / "js" / "node_modules"], lambda env, scheme: ["node", TARGET / "js" / "suite.mjs"]),
    "go": Client("go", [TARGET / "go-client"], lambda env, scheme: [TARGET / "go-client"]),
    "rust": Client("rust", [TARGET / "rust" / "debug" / "millstream-client-rust"], lambda env, scheme: [TARGET / "rust/debug/millstream-client-rust"]),
    "java-sync": java("millstream.Sdk", "sync"),
    "java-async": java("millstream.Sdk", "async"),
    "kcl-polling": java("millstream.Kcl", "polling", moto=True, clocked=False),
    "kcl-fan-out": java("millstream.Kcl", "fan-out", moto=True, clocked=False),
    "kpl": java("millstream.Kpl", schemes=("https",), moto=True, clocked=False),
    "raw": python("raw"),
}
