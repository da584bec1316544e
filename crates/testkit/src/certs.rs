//! A certificate authority of a test's own, with one server certificate.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rcgen::{KeyUsagePurpose, SanType};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// What an end of a TLS connection offers by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`
    Http11,
    /// `h2`
    H2,
}

impl Alpn {
    /// As registered with IANA.
    pub fn id(self) -> &'static [u8] {
        match self {
            Self::Http11 => b"http/1.1",
            Self::H2 => b"h2",
        }
    }
}

/// An authority and a certificate it signed, as PEM files in a directory that goes away and as rustls values.
#[derive(Debug)]
pub struct Certs {
    dir: TempDir,
    authority: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Certs {
    /// For `localhost` and 127.0.0.1. Two calls make two authorities that do not trust each other.
    pub fn new() -> Self {
        Self::naming(&["localhost", "127.0.0.1"])
    }

    /// For these DNS names and IP addresses.
    pub fn naming(names: &[&str]) -> Self {
        Self::generate(names).expect("certificates of fixed shape can be made")
    }

    fn generate(names: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "testkit authority");
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut server = CertificateParams::new(Vec::new())?;
        for name in names {
            server.subject_alt_names.push(match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName((*name).try_into()?),
            });
        }
        server.distinguished_name.push(DnType::CommonName, "testkit server");
        server.use_authority_key_identifier_extension = true;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let server = server.signed_by(&key, &authority)?;

        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("ca.pem"), authority.pem())?;
        std::fs::write(dir.path().join("cert.pem"), server.pem())?;
        write_private(&dir.path().join("key.pem"), &key.serialize_pem())?;
        Ok(Self {
            dir,
            authority: authority.der().clone(),
            chain: vec![server.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }

    /// PEM of the authority.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The authority's certificate.
    pub fn authority(&self) -> CertificateDer<'static> {
        self.authority.clone()
    }

    /// PEM of the server certificate.
    pub fn cert_file(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// PEM of its key, mode 0600.
    pub fn key_file(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    /// The value of `[server] tls` for this certificate.
    pub fn tls_toml(&self) -> String {
        format!("{{ cert_file = {:?}, key_file = {:?} }}", self.cert_file(), self.key_file())
    }

    /// A server that shows this certificate and offers `alpn`.
    pub fn server_config(&self, alpn: &[Alpn]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), PrivateKeyDer::Pkcs8(self.key.clone_key()))
            .expect("the key belongs to the certificate");
        config.alpn_protocols = ids(alpn);
        Arc::new(config)
    }

    /// A client that trusts this authority alone and offers `alpn`.
    pub fn client_config(&self, alpn: &[Alpn]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).expect("the authority's certificate is well formed");
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = ids(alpn);
        Arc::new(config)
    }
}

impl Default for Certs {
    fn default() -> Self {
        Self::new()
    }
}

fn ids(alpn: &[Alpn]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.id().to_vec()).collect()
}

/// Writes a file that only its owner may read, since keys that others can read are refused or warned about.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
