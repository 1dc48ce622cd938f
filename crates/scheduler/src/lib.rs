//! The scheduler.
#![deny(missing_docs)]
#![allow(dead_code)]
mod sys;
mod targets;
mod timer;
