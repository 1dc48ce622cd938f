//! Datagrams on their way: to servers, back to the client, and those of an attacker.

use std::net::SocketAddr;

use timeball_ntp::engine::{Input, SourceId};
use timeball_timebase::Timestamp;

use super::{SECOND, World};
use crate::floor::Exchange;
use crate::scenario::Attack;
use crate::server::address;

/// Something that arrives.
#[derive(Clone, Debug)]
pub(super) enum Event {
    AtServer { server: usize, octets: Vec<u8>, sent_at: i64 },
    AtClient { source: SourceId, from: SocketAddr, octets: Vec<u8>, exchange: Option<Exchange> },
}

/// A datagram as the kernel hands it to the process.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    source: SourceId,
    from: SocketAddr,
    octets: Vec<u8>,
    received_at: Timestamp,
}

impl World {
    /// Puts a request of the engine's on its way.
    pub(super) fn send(&mut self, source: SourceId, to: SocketAddr, octets: Vec<u8>) {
        let Some(server) = (0..self.scenario.servers.len()).find(|i| address(*i) == to) else {
            return;
        };
        if let Some(octets) = self.forge() {
            let forged = Event::AtClient { source, from: to, octets, exchange: None };
            self.queue_at(1_000, forged);
        }
        let path = &self.scenario.servers[server].path;
        if let Some(delay) = path.request(self.at_s(), &mut self.network_noise[server]) {
            self.queue_at(delay, Event::AtServer { server, octets, sent_at: self.at });
        }
    }

    /// What an attacker sends with every request, who does not see the request.
    fn forge(&mut self) -> Option<Vec<u8>> {
        match self.scenario.attack? {
            Attack::Spoof => {
                let mut forged = vec![0_u8; 48];
                forged[0] = 4 << 3 | 4;
                forged[1] = 1;
                forged[32..48].copy_from_slice(&[0xaa; 16]);
                Some(forged)
            }
            Attack::Garbage => {
                let length = self.attack_noise.below(100);
                Some((0..length).map(|_| self.attack_noise.below(256) as u8).collect())
            }
            Attack::Replay => None,
        }
    }

    /// What was on its way is where it was sent to.
    pub(super) fn deliver(&mut self, event: Event) {
        match event {
            Event::AtServer { server, octets, sent_at } => self.answer(server, &octets, sent_at),
            Event::AtClient { source, from, octets, exchange } => {
                if let Some(exchange) = exchange {
                    self.note_exchange(exchange);
                }
                let received_at = self.clocks.now().system;
                let delivery = Delivery { source, from, octets, received_at };
                if self.is_awake() {
                    self.hand_over(&delivery);
                } else {
                    self.kept_by_kernel.push_back(delivery);
                }
            }
        }
    }

    fn answer(&mut self, index: usize, octets: &[u8], sent_at: i64) {
        let at_s = self.at_s();
        let server = &self.scenario.servers[index];
        let Some(octets) = server.answer(octets, self.truth(), at_s, self.leap_now()) else {
            return;
        };
        let (from, source) = (address(index), SourceId(index as u16));
        let exchange = Exchange {
            server: index,
            at_s,
            raw_error_s: self.clocks.raw_error(),
            up_s: (self.at - sent_at) as f64 / 1e9,
            down_s: 0.0,
            base_up_s: server.path.up.base_at(at_s),
            base_down_s: server.path.down.base_at(at_s),
            server_error_s: server.error_at(at_s).as_seconds_f64(),
            claimed_error_s: server.error.abs().as_seconds_f64(),
        };
        let delays = server.path.answer(at_s, &mut self.network_noise[index]);
        let replayed = self.scenario.attack == Some(Attack::Replay);
        for (copy, delay) in delays.into_iter().enumerate() {
            let exchange = Exchange { down_s: delay as f64 / 1e9, ..exchange };
            let exchange = (copy == 0).then_some(exchange);
            let event = Event::AtClient { source, from, octets: octets.clone(), exchange };
            self.queue_at(delay, event);
            if replayed {
                let octets = octets.clone();
                let again = Event::AtClient { source, from, octets, exchange: None };
                self.queue_at(delay + SECOND, again);
            }
        }
    }

    /// The process reads a datagram from its socket.
    pub(super) fn hand_over(&mut self, delivery: &Delivery) {
        let Delivery { source, from, octets, received_at } = delivery;
        let (source, from, received_at) = (*source, *from, *received_at);
        self.feed(Input::Datagram { source, from, octets, received_at });
    }

    fn queue_at(&mut self, delay: i64, event: Event) {
        self.serial += 1;
        self.queue.insert((self.at + delay.max(0), self.serial), event);
    }

    fn note_exchange(&mut self, exchange: Exchange) {
        self.floor.answered(&exchange);
        self.allowing_floor.answered(&exchange);
        if self.scenario.servers[exchange.server].is_honest() {
            self.checkers.answered_honestly(&exchange);
        }
        self.exchanges.push(exchange);
    }
}
