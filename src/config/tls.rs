//! Certificates and keys, checked when the configuration is loaded and not at the first handshake.

use crate::config::report::Report;
use crate::config::secret_file::{Privacy, read};
use crate::config::section::Section;
use crate::config::server::TlsFile;
use crate::config::settings::Tls;
use crate::config::tree::Place;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, crypto::ring};
use std::path::PathBuf;

/// The listener's certificate chain and key: both or neither, and they belong together.
pub(super) fn listener(file: &TlsFile, section: &Section<'_>, report: &mut Report<'_>) -> Option<Tls> {
    let cert_at = section.place(&["tls", "cert_file"]);
    let key_at = section.place(&["tls", "key_file"]);
    match (file.cert_file.is_empty(), file.key_file.is_empty()) {
        (true, true) => return None,
        (false, false) => {}
        (cert_missing, _) => {
            let (at, missing) = if cert_missing { (&key_at, "cert_file") } else { (&cert_at, "key_file") };
            report.error(at, format!("`tls` lacks `{missing}`"), "set both or neither");
            return None;
        }
    }
    let chain = read(&file.cert_file, &cert_at, Privacy::Public, report);
    let key = read(&file.key_file, &key_at, Privacy::Secret, report);
    let chain = certificates(&chain?, &file.cert_file, &cert_at, report);
    let key = PrivateKeyDer::from_pem_slice(key?.as_bytes());
    let Ok(key) = key else {
        let message = format!("`{}` holds no private key", file.key_file);
        report.error(&key_at, message, "expected a PEM block such as `PRIVATE KEY`");
        return None;
    };
    match CertifiedKey::from_der(chain?, key, &ring::default_provider()) {
        Ok(_) => Some(Tls { cert_file: PathBuf::from(&file.cert_file), key_file: PathBuf::from(&file.key_file) }),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let message = format!("`{}` is not the key of `{}`", file.key_file, file.cert_file);
            report.error(&key_at, message, "expected the key of the first certificate of `cert_file`");
            None
        }
        Err(error) => {
            report.error(&key_at, "`tls` cannot be used", error.to_string());
            None
        }
    }
}

/// A file of CA certificates to trust.
pub(super) fn authorities(path: &str, at: &Place, report: &mut Report<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let text = read(path, at, Privacy::Public, report)?;
    let mut roots = RootCertStore::empty();
    let found = certificates(&text, path, at, report)?;
    for certificate in &found {
        if let Err(error) = roots.add(certificate.clone()) {
            report.error(at, format!("`{path}` holds no usable CA certificate"), error.to_string());
            return None;
        }
    }
    Some(found)
}

fn certificates(pem: &str, path: &str, at: &Place, report: &mut Report<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Some(found),
        _ => {
            let message = format!("`{path}` holds no certificate");
            report.error(at, message, "expected PEM blocks `CERTIFICATE`");
            None
        }
    }
}
