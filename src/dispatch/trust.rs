//! Whom to trust in TLS: the system's authorities, and those of a file.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;

use crate::dispatch::SinkError;

/// Makes `ring` the process's cryptography; a second call changes nothing.
pub(crate) fn install_provider() {
    // An error means that one is installed already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The PEM text of a CA file, read anew at every connect, since certificates are renewed under running agents.
pub(crate) fn read_authorities(path: &Path) -> Result<String, SinkError> {
    std::fs::read_to_string(path).map_err(|error| SinkError::Refused {
        reason: format!("cannot read the CA file {}: {error}", path.display()),
        remedy: "give a readable file with certificates in PEM",
    })
}

/// The system's authorities as PEM, without those that the TLS library cannot use.
pub(crate) fn system_authorities() -> String {
    rustls_native_certs::load_native_certs()
        .certs
        .into_iter()
        .filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
        .map(|certificate| pem_of(certificate.as_ref()))
        .collect()
}

fn pem_of(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_pem_lines() {
        let pem = pem_of(&[0; 60]);
        let lengths: Vec<_> = pem.lines().map(str::len).collect();
        assert_eq!(lengths, [27, 64, 16, 25]);
    }
}
