//! Starting a program with its output in a pipe.

use crate::sys::{Child, SpawnPlan, spawn};
use std::io::{self, PipeReader};

/// A program, or the gate that holds it, and the end of its output.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) output: PipeReader,
}

/// Starts a program.
pub(super) fn start(plan: &SpawnPlan) -> io::Result<Started> {
    let (output, writer) = io::pipe()?;
    Ok(Started { child: spawn(plan, &writer)?, output })
}
