//! Whom a TLS connection believes, and who we are on it.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use thiserror::Error;
use timeball_api::targets::Tls;

/// The certificates of one target's connections. Files that are replaced are taken up by the next
/// connection.
#[derive(Debug)]
pub(crate) struct Trust {
    files: TrustFiles,
    /// The protocols that are offered (ALPN, RFC 7301).
    protocols: Vec<Vec<u8>>,
    made: Mutex<Option<(Stamps, Arc<ClientConfig>)>>,
}

/// The files by which connections are told apart.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct TrustFiles {
    authorities: Option<PathBuf>,
    /// Certificate and key.
    identity: Option<(PathBuf, PathBuf)>,
}

/// What a file looks like from outside: time of change, size and number; `None` where it is gone.
type Stamps = Vec<Option<(i64, i64, u64, u64)>>;

/// Why there can be no TLS connection.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("{field} `{path}` is no absolute path")]
    Relative { field: &'static str, path: String },
    #[error("tls.certificateFile and tls.keyFile belong together; give both or none")]
    HalfIdentity,
    #[error("{} has no PEM {what} that can be read: {source}", path.display())]
    Pem { what: &'static str, path: PathBuf, source: pem::Error },
    #[error("{} has no certificate", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} cannot be used: {source}", path.display())]
    Unusable { path: PathBuf, source: rustls::Error },
    #[error("`{host}` is no name that a certificate can be for: {source}")]
    Name { host: String, source: InvalidDnsNameError },
}

impl Trust {
    /// Takes the files that a target names, and reads them once.
    ///
    /// # Errors
    /// Where a file is missing or is not what it should be.
    pub(crate) fn new(form: Option<&Tls>, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        let form = form.cloned().unwrap_or_default();
        let path = |field, path: Option<String>| match path {
            Some(path) if !Path::new(&path).is_absolute() => {
                Err(TlsError::Relative { field, path: path.escape_debug().to_string() })
            }
            path => Ok(path.map(PathBuf::from)),
        };
        let certificate = path("tls.certificateFile", form.certificate_file)?;
        let identity = match (certificate, path("tls.keyFile", form.key_file)?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(TlsError::HalfIdentity),
        };
        let files = TrustFiles { authorities: path("tls.caFile", form.ca_file)?, identity };
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let trust = Self { files, protocols, made: Mutex::new(None) };
        trust.config()?;
        Ok(trust)
    }

    pub(crate) fn files(&self) -> &TrustFiles {
        &self.files
    }

    /// What a connection that is made now needs. Reads files where they have changed.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let stamps = self.files.stamps();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = made.as_ref().filter(|(before, _)| *before == stamps) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.files.config(&self.protocols)?);
        *made = Some((stamps, Arc::clone(&config)));
        Ok(config)
    }
}

/// The name that a server's certificate must be for.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(host.to_owned())
        .map_err(|source| TlsError::Name { host: host.to_owned(), source })
}

impl TrustFiles {
    fn stamps(&self) -> Stamps {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        let files = self.authorities.iter().chain(identity);
        let stamp = |file: Metadata| (file.mtime(), file.mtime_nsec(), file.size(), file.ino());
        files.map(|path| std::fs::metadata(path).ok().map(stamp)).collect()
    }

    fn config(&self, protocols: &[Vec<u8>]) -> Result<ClientConfig, TlsError> {
        let roots = match &self.authorities {
            Some(path) => Arc::new(authorities(path)?),
            None => usual_authorities(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need")
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_file(key).map_err(|source| {
                    TlsError::Pem { what: "private key", path: key.clone(), source }
                })?;
                builder
                    .with_client_auth_cert(certificates(certificate)?, private)
                    .map_err(|source| TlsError::Unusable { path: certificate.clone(), source })?
            }
        };
        config.alpn_protocols = protocols.to_vec();
        Ok(config)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem { what: "certificate", path: path.to_owned(), source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect();
    let found = found.map_err(wrong)?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(found)
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Unusable { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

/// The authorities of this machine, or Mozilla's where it has none; read once.
fn usual_authorities() -> Arc<RootCertStore> {
    static USUAL: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        // A machine's store often has a certificate or two that nobody can read any more.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    };
    Arc::clone(USUAL.get_or_init(read))
}
