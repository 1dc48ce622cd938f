//! What is said in answer to a message, and whether a stream said it.

use super::wire::{Message, quote};
use serde::Deserialize;

/// What an answer comes to.
pub(super) enum Answer {
    /// The stream has the message.
    Stored,
    /// It does not have it, for this reason.
    Refused(String),
    /// Somebody else answered, who happens to listen to the subject: that says nothing.
    Noise(String),
}

/// What a stream says of a message.
#[derive(Deserialize)]
struct Acknowledgement {
    stream: Option<String>,
    error: Option<StreamError>,
}

/// Why a stream did not take a message.
#[derive(Deserialize)]
struct StreamError {
    code: i64,
    #[serde(default)]
    err_code: i64,
    #[serde(default)]
    description: String,
}

/// The status of a message to which nobody listens.
const NO_RESPONDERS: u16 = 503;

impl Answer {
    /// What this answer to a message to `subject` comes to.
    pub(super) fn read(message: &Message, subject: &str) -> Self {
        if message.status == Some(NO_RESPONDERS) {
            return Self::Refused(format!("no stream found that takes `{subject}`"));
        }
        match serde_json::from_slice(&message.body) {
            Ok(Acknowledgement { error: Some(error), .. }) => {
                let StreamError { code, err_code, description } = error;
                let text = format!("the stream refused it: {description} ({code}, {err_code})");
                Self::Refused(text)
            }
            // A repeat that the stream has dropped is as good: it has the message.
            Ok(Acknowledgement { stream: Some(_), error: None }) => Self::Stored,
            _ => {
                let said = quote(&String::from_utf8_lossy(&message.body));
                Self::Noise(format!("it was answered by something that is no stream: `{said}`"))
            }
        }
    }

    /// What an answer comes to that is too long for a stream's.
    pub(super) fn long(octets: usize) -> Self {
        Self::Noise(format!("it was answered by something that is no stream: {octets} octets"))
    }
}
