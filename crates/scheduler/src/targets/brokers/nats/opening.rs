//! From a server's name to a session with it.

use super::session::Session;
use super::wire::{Connect, Decoder, Info, Word};
use super::{Nats, NatsAuth, Server};
use crate::targets::tls::{Trust, server_name};
use rustls::ClientConnection;
use std::io;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

impl Nats {
    /// Connects to a server and logs in.
    pub(super) async fn open(&self, server: &Server) -> Result<Session, String> {
        let mut connect = self.credentials().await?;
        let unreachable = |error: io::Error| error.to_string();
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await;
        let tcp = tcp.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let mut decoder = Decoder::default();
        let info = first_word(&tcp, &mut decoder).await?;
        if !info.headers {
            return Err("the server takes no headers; it must be nats-server 2.2 or later".into());
        }
        connect.tls_required = server.is_secure || self.trust.is_some();
        if connect.tls_required && !info.tls_required && !info.tls_available {
            return Err("the server does not offer TLS".to_owned());
        }
        if !connect.tls_required && !info.tls_required {
            return Session::begin(tcp, None, decoder, info, &connect).await;
        }
        // Whoever stands in between could have said it: nothing of it would be of the server.
        if !decoder.is_empty() {
            return Err("the server says more than it should before TLS begins".to_owned());
        }
        let (tcp, seal) = self.secure(tcp, &server.host).await?;
        Session::begin(tcp, Some(seal), decoder, info, &connect).await
    }

    async fn credentials(&self) -> Result<Connect, String> {
        let mut connect = Connect {
            name: "timeball",
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            headers: true,
            no_responders: true,
            ..Connect::default()
        };
        match &self.auth {
            None => {}
            Some(NatsAuth::Token(token)) => {
                connect.auth_token = Some(token.read().await.map_err(|error| error.to_string())?);
            }
            Some(NatsAuth::User { username, password }) => {
                connect.user = Some(username.clone());
                connect.pass = Some(password.read().await.map_err(|error| error.to_string())?);
            }
        }
        Ok(connect)
    }

    async fn secure(
        &self,
        tcp: TcpStream,
        host: &str,
    ) -> Result<(TcpStream, ClientConnection), String> {
        let trust = self.trust.clone();
        // It may read files, which may be behind a network.
        let config = tokio::task::spawn_blocking(move || match trust {
            Some(trust) => trust.config(),
            None => Trust::new(None, &[])?.config(),
        });
        let config = config.await.map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(config.map_err(|error| error.to_string())?);
        let name = server_name(host).map_err(|error| error.to_string())?;
        let secured = connector.connect(name, tcp).await;
        Ok(secured.map_err(|error| format!("no TLS connection: {error}"))?.into_inner())
    }
}

/// What a server says of itself.
async fn first_word(tcp: &TcpStream, decoder: &mut Decoder) -> Result<Info, String> {
    let mut octets = [0; 4_096];
    loop {
        tcp.readable().await.map_err(|error| error.to_string())?;
        match tcp.try_read(&mut octets) {
            Ok(0) => return Err("the server closed the connection".to_owned()),
            Ok(n) => decoder.feed(&octets[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.to_string()),
        }
        match decoder.word() {
            Ok(None) => {}
            Ok(Some(Word::Info(info))) => return Ok(info),
            Ok(Some(Word::Error(problem))) => return Err(problem),
            Ok(Some(_)) => return Err("it does not begin as a server of NATS does".to_owned()),
            Err(error) => return Err(format!("it says {error}")),
        }
    }
}
