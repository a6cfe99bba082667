//! `millstream tls`: what to tell clients about the certificate.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::store::{CA_CERTIFICATE, DIR};
use crate::cli::args::JsonArg;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;

/// The `tls` commands. They work on files, whether a node runs or not.
#[derive(Clone, Debug, Subcommand)]
pub enum TlsCommand {
    /// Say how clients come to trust the certificate that the node has made for the Kinesis API.
    Trust(TrustArgs),
}

/// Arguments of `tls trust`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  eval \"$(millstream tls trust --data /var/lib/millstream | grep ^export)\"")]
pub struct TrustArgs {
    /// The node's data directory.
    #[arg(long, value_name = "DIR", env = "MILLSTREAM_DATA", default_value = "data")]
    pub data: PathBuf,
    /// How it is printed.
    #[command(flatten)]
    pub json: JsonArg,
}

/// Carries out a `tls` command.
pub fn run(command: &TlsCommand) -> Result<(), Failure> {
    let TlsCommand::Trust(args) = command;
    let path = args.data.join(DIR).join(CA_CERTIFICATE);
    let path = path.canonicalize().map_err(|error| {
        Failure::new(
            Exit::NotFound,
            format_args!(
                "no CA at {}: {error}; a node makes it when it first starts with kinesis_tls = auto and no certificate of \
                 its own",
                path.display()
            ),
        )
    })?;
    let text = if args.json.json { format!("{}\n", serde_json::json!({ "ca": path })) } else { instructions(&path) };
    say(&text)
}

/// What to do with the CA, client by client.
fn instructions(ca: &Path) -> String {
    let ca = quoted(&ca.display().to_string());
    format!(
        "\
# Certificate of the CA: {ca}

# boto3, AWS CLI, SDK for Go
export AWS_CA_BUNDLE={ca}
# Node.js: before the program starts
export NODE_EXTRA_CA_CERTS={ca}
# SDK for Rust, Go, curl and whatever else asks OpenSSL; it stands in for the system's list
export SSL_CERT_FILE={ca}

# curl, for one call
#   curl --cacert {ca} https://localhost:4567/

# Java, KCL: a trust store of its own; start from a copy of the JDK's cacerts to keep what that trusts
#   keytool -importcert -noprompt -alias millstream -file {ca} \\
#       -keystore millstream.p12 -storetype PKCS12 -storepass changeit
#   java -Djavax.net.ssl.trustStore=millstream.p12 -Djavax.net.ssl.trustStorePassword=changeit ...

# Every program on a Debian or Ubuntu machine
#   cp {ca} /usr/local/share/ca-certificates/millstream.crt && update-ca-certificates
"
    )
}

/// A text that a shell takes as one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a path with blanks and quotes stays one word of the shell.
    #[test]
    fn paths_are_quoted() {
        assert_eq!(quoted("/var/lib/millstream/tls/ca.pem"), "/var/lib/millstream/tls/ca.pem");
        assert_eq!(quoted("/a b/it's"), "'/a b/it'\\''s'");
        let text = instructions(Path::new("/a b/ca.pem"));
        assert!(text.contains("export AWS_CA_BUNDLE='/a b/ca.pem'\n"), "{text}");
    }
}
