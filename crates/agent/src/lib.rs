//! The node agent: measures this machine's clock against NTP servers, keeps it right if told to, and
//! serves the time and what is known of it.
#![deny(missing_docs)]

mod address;
mod config;
mod control;
mod kernel_clock;
mod sys;
mod udp;
