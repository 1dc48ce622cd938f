//! Whom to believe when not even the date is known.
//!
//! Whether a certificate is valid depends on the date, which is what is asked for. So during the
//! handshake only the server's possession of its key is proved; certificate, chain, name and
//! validity are judged afterwards, at the date that the server told.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;

/// Why there is nobody to trust.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file cannot be read, or is none of certificates.
    #[error("{}: {source}; write a file of PEM certificates", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// There is no certificate in it, or none on this system.
    #[error("no certificate of an authority was found; name a file of them as `authorities`")]
    Empty,
}

/// Why a server is not believed.
#[derive(Debug, Error)]
pub enum UntrustedError {
    /// Its certificate is not as it should be.
    #[error("its certificate is not valid: {0}")]
    Certificate(rustls::Error),
    /// It showed none.
    #[error("it has shown no certificate")]
    None,
}

/// The authorities that are trusted.
pub(super) struct Roots {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Roots {
    /// Reads them from a file, or takes those of the system.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, TrustError> {
        let mut store = RootCertStore::empty();
        match file {
            Some(path) => {
                let failed = |source| TrustError::File { path: path.to_owned(), source };
                for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
                    // One that is no authority's is as good as none.
                    let _ = store.add(certificate.map_err(failed)?);
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                store.add_parsable_certificates(found.certs);
            }
        }
        let provider = Arc::new(ring::default_provider());
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
        let verifier = builder.build().map_err(|_| TrustError::Empty)?;
        Ok(Self { provider, verifier })
    }

    /// The settings of one connection, and who remembers what its server has shown.
    pub(super) fn client(&self) -> Result<(Arc<ClientConfig>, Arc<Witness>), rustls::Error> {
        let witness = Arc::new(Witness {
            provider: Arc::clone(&self.provider),
            verifier: Arc::clone(&self.verifier),
            shown: Mutex::new(None),
        });
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        // A connection that is taken up again shows no certificate.
        config.resumption = rustls::client::Resumption::disabled();
        Ok((Arc::new(config), witness))
    }
}

/// Remembers the certificates of one connection until they can be judged.
#[derive(Debug)]
pub(super) struct Witness {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    shown: Mutex<Option<Shown>>,
}

#[derive(Debug)]
struct Shown {
    end_entity: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    ocsp_response: Vec<u8>,
}

impl Witness {
    /// Judges what the server has shown as of `date`.
    pub(super) fn verify(
        &self,
        name: &ServerName<'_>,
        date: UnixTime,
    ) -> Result<(), UntrustedError> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Shown { end_entity, intermediates, ocsp_response } =
            shown.ok_or(UntrustedError::None)?;
        self.verifier
            .verify_server_cert(&end_entity, &intermediates, name, &ocsp_response, date)
            .map(drop)
            .map_err(UntrustedError::Certificate)
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Shown {
            end_entity: end_entity.clone().into_owned(),
            intermediates: intermediates.iter().map(|c| c.clone().into_owned()).collect(),
            ocsp_response: ocsp_response.to_vec(),
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        // Not yet: `Witness::verify` judges it before anything that the server says is used.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
