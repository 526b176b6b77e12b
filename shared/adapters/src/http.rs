//! The one HTTP client, under AWS's SDK as under GitHub's API: one TLS stack, and one reading of the trust roots.

use std::fs;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::ClientBuilder;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::config::Variables;

/// Where Lambda's own system, and Debian's, keep all trust roots in one file.
/// <https://docs.aws.amazon.com/linux/al2023/ug/security-certificates.html>
const BUNDLES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// A client's builder that trusts what the system trusts, or the file that `SSL_CERT_FILE` names.
///
/// The roots are read from one file, once in a process. Each client that looks for them by itself reads them again, on a system that has
/// them in a folder as well one file each; and all of that is before the first answer.
pub(crate) fn builder() -> ClientBuilder {
    static TLS: OnceLock<Option<ClientConfig>> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "the one place that builds HTTP clients")]
    let builder = reqwest::Client::builder();
    match TLS.get_or_init(tls) {
        Some(tls) => builder.tls_backend_preconfigured(tls.clone()),
        // Another system than Lambda's, or a file that holds no roots: the client looks for them, and says so where there are none.
        None => builder,
    }
}

fn tls() -> Option<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(config.with_root_certificates(roots()?).with_no_client_auth())
}

fn roots() -> Option<RootCertStore> {
    match Variables::default().optional("SSL_CERT_FILE") {
        Some(file) => bundle(&file),
        None => BUNDLES.iter().find_map(|file| bundle(file)),
    }
}

fn bundle(file: &str) -> Option<RootCertStore> {
    // Comments may be in any encoding, and the search for the certificates is in text.
    let text = String::from_utf8(fs::read(file).ok()?);
    let text = text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    let mut roots = RootCertStore::empty();
    // What is no certificate, or one of a kind that nobody can check any more, takes no other with it.
    roots.add_parsable_certificates(certificates(&text));
    (!roots.is_empty()).then_some(roots)
}

/// The certificates of a PEM file (RFC 7468). rustls reads them too, in constant time, as keys must be: for 140 roots that was three quarters of
/// all that a process did before its first request.
fn certificates(pem: &str) -> impl Iterator<Item = CertificateDer<'static>> {
    pem.split("-----BEGIN CERTIFICATE-----").skip(1).filter_map(|block| {
        let (encoded, _) = block.split_once("-----END CERTIFICATE-----")?;
        let encoded: String = encoded.lines().map(str::trim).collect();
        BASE64_STANDARD.decode(encoded).ok().map(CertificateDer::from)
    })
}

#[cfg(test)]
mod tests {
    use super::{builder, certificates};

    #[test]
    fn certificates_are_found_between_comments_with_either_line_end_and_a_broken_one_spoils_no_other() {
        let pem = "# Root of Ann\n-----BEGIN CERTIFICATE-----\nAQID\nBAU=\n-----END CERTIFICATE-----\n\
                   -----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n\
                   -----BEGIN CERTIFICATE-----\r\nBgc=\r\n-----END CERTIFICATE-----\r\n-----BEGIN CERTIFICATE-----\nCAk=\n";
        let found: Vec<_> = certificates(pem).map(|certificate| certificate.to_vec()).collect();
        assert_eq!(found, [vec![1, 2, 3, 4, 5], vec![6, 7]]);
    }

    #[test]
    fn the_client_takes_the_tls_configuration() {
        builder().build().unwrap();
    }
}
