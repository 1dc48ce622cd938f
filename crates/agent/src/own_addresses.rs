//! At which addresses others can have the time from us.

use std::net::{IpAddr, SocketAddr};

use timeball_ntp::engine::Input;

use crate::ntp_server::ServerTally;
use crate::udp::RequestSocket;

/// Addresses that requests are sent from, which are remembered; a machine has fewer.
const ASKING_MAX: usize = 64;

/// What the time loop knows of our own addresses, while a server of ours answers.
pub(crate) struct OwnAddresses {
    tally: ServerTally,
    /// How many of the tally's the engine has been told.
    told: usize,
    /// Where requests were sent from, and how many of those the engine has been told.
    asking: Vec<IpAddr>,
    asking_told: usize,
}

impl OwnAddresses {
    /// Knows nothing yet but the server.
    pub(crate) fn new(tally: ServerTally) -> Self {
        Self { tally, told: 0, asking: Vec::new(), asking_told: 0 }
    }

    /// Notes where a request was sent from: most likely the server that was asked reaches us there.
    pub(crate) fn asked_by(&mut self, socket: &RequestSocket) {
        if let Some(address) = socket.local_address()
            && self.asking.len() < ASKING_MAX
            && !self.asking.contains(&address)
        {
            self.asking.push(address);
        }
    }

    /// What the engine has not been told yet.
    pub(crate) fn news(&mut self) -> Vec<Input<'static>> {
        let reached = self.tally.reached_after(self.told);
        self.told += reached.len();
        let asking = self.asking.iter().skip(self.asking_told);
        let asking = asking.map(|address| Input::OwnAddress { address: *address, port: None });
        let served = |at: SocketAddr| Input::OwnAddress { address: at.ip(), port: Some(at.port()) };
        let news = asking.chain(reached.into_iter().map(served)).collect();
        self.asking_told = self.asking.len();
        news
    }
}
