//! RabbitMQ (AMQP 0.9.1): publishes as persistent and mandatory, and waits for the confirm.
//!
//! RabbitMQ drops no repeats: consumers find the fire's key in `message_id`.

use super::{Message, Protocol, PublishError, Unloadable};
use crate::targets::event::Template;
use crate::targets::secret::SecretFile;
use crate::targets::tls::Trust;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::tcp::{AMQPUriTcpExt, RustlsConnector};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection as AmqpConnection, ConnectionProperties,
    ErrorKind,
};
use std::fmt;
use std::sync::Arc;

/// Where a message goes.
#[derive(Debug)]
pub(crate) struct RabbitMq {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) virtual_host: String,
    /// Empty for the default exchange, whose routing key is a queue's name.
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) correlation_id: Option<Template>,
    pub(super) auth: Option<(String, SecretFile)>,
    pub(super) trust: Option<Arc<Trust>>,
}

pub(crate) struct Connection {
    /// Open for as long as this lives.
    connection: AmqpConnection,
    channel: Channel,
}

/// Kept on disk.
const PERSISTENT: u8 = 2;

impl fmt::Display for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, exchange, routing_key, .. } = self;
        write!(f, "{host}:{port} {exchange}/{routing_key}")
    }
}

impl Protocol for RabbitMq {
    type Connection = Connection;
    type Parcel = Unloadable;

    fn place(&self) -> String {
        let Self { host, port, virtual_host, exchange, .. } = self;
        format!("{host}:{port}, virtual host `{virtual_host}`, exchange `{exchange}`")
    }

    fn key(&self) -> String {
        // The broker closes a channel at an exchange that does not exist, so each has its own.
        let trust = self.trust.as_ref().map(|trust| trust.files());
        format!("{} {:?} {trust:?}", self.place(), self.auth)
    }

    async fn connect(&self) -> Result<Connection, String> {
        let userinfo = match &self.auth {
            None => AMQPUserInfo::default(),
            Some((username, password)) => AMQPUserInfo {
                username: username.clone(),
                password: password.read().await.map_err(|error| error.to_string())?,
            },
        };
        let (host, port) = (self.host.clone(), self.port);
        let secure = self.trust.as_ref().map(|trust| trust.config()).transpose();
        let secure = secure.map_err(|error| error.to_string())?.map(RustlsConnector::from);
        let uri = AMQPUri {
            scheme: if secure.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority { userinfo, host, port },
            vhost: self.virtual_host.clone(),
            ..AMQPUri::default()
        };
        let properties = ConnectionProperties::default().with_connection_name("timeball".into());
        let runtime = lapin::runtime::default_runtime().map_err(|error| error.to_string())?;
        let connection = AmqpConnection::connector(
            uri,
            runtime,
            async move |uri, runtime| {
                let host = uri.authority.host.clone();
                // TLS is begun here, and not by what the address says.
                let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri };
                let stream = plain.connect_async(&runtime).await?;
                match &secure {
                    None => Ok(stream),
                    Some(connector) => Ok(stream.into_rustls(connector, &host).await?),
                }
            },
            properties,
        );
        let connection = connection.await.map_err(|error| error.to_string())?;
        let channel = connection.create_channel().await.map_err(|error| error.to_string())?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default()).await;
        confirms.map_err(|error| error.to_string())?;
        Ok(Connection { connection, channel })
    }

    async fn prepare(&self, connection: &Connection, _: &Message) -> Result<(), String> {
        if Self::is_closed(connection) {
            return Err("the connection was closed".to_owned());
        }
        Ok(())
    }

    fn is_closed(connection: &Connection) -> bool {
        !(connection.connection.status().connected() && connection.channel.status().connected())
    }

    async fn publish(
        &self,
        connection: &Connection,
        message: &Message,
    ) -> Result<(), PublishError> {
        let Connection { channel, .. } = connection;
        let (exchange, key) = (self.exchange.as_str().into(), self.routing_key.as_str().into());
        // What no queue takes comes back instead of being dropped.
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = self.properties(message);
        let sent = channel.basic_publish(exchange, key, options, &message.body, properties).await;
        let confirmed = sent.map_err(|error| match error.kind() {
            ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) => {
                PublishError::NotSent(error.to_string())
            }
            _ => PublishError::Lost(error.to_string()),
        })?;
        match confirmed.await {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) => {
                let text = returned.reply_text.to_string();
                Err(PublishError::Refused(format!("no queue took it: {text}")))
            }
            Ok(Confirmation::Nack(None)) => {
                Err(PublishError::Refused("the broker could not store it".to_owned()))
            }
            Ok(Confirmation::NotRequested) => {
                Err(PublishError::Lost("the broker gives no confirms".to_owned()))
            }
            Err(error) => Err(match error.kind() {
                ErrorKind::ProtocolError(_) => PublishError::Refused(error.to_string()),
                _ => PublishError::Lost(error.to_string()),
            }),
        }
    }
}

impl RabbitMq {
    fn properties(&self, message: &Message) -> BasicProperties {
        let event = &message.event;
        let mut headers = FieldTable::default();
        for (name, value) in message.headers("cloudEvents_") {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let mut properties = BasicProperties::default()
            .with_message_id(event.key.as_str().into())
            .with_delivery_mode(PERSISTENT)
            // Every body of ours is text.
            .with_content_encoding("utf-8".into())
            .with_app_id("timeball".into())
            .with_headers(headers);
        if let Some(kind) = &message.content_type {
            properties = properties.with_content_type(kind.as_str().into());
        }
        if let Some(id) = &self.correlation_id {
            properties = properties.with_correlation_id(id.expand(event).into());
        }
        properties
    }
}
