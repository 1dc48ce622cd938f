//! The association with one server: which datagrams count as its answers.

use thiserror::Error;

/// Why a datagram was not taken as the answer to our request.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ResponseError {
    /// Shorter than a header.
    #[error("{octets} octets, but an NTP header has 48")]
    Truncated {
        /// Length of the datagram.
        octets: usize,
    },
    /// Not the answer to what we asked last.
    #[error("origin timestamp is not that of the outstanding request")]
    OriginMismatch,
}
