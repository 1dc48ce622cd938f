//! Datagrams on their way: to servers, back to the client, and those of an attacker.

use std::net::SocketAddr;

use timeball_ntp::engine::{Input, SourceId};
use timeball_timebase::{Span, Timestamp};

use super::{SECOND, World};
use crate::floor::Exchange;
use crate::reference::ReadTimes;
use crate::scenario::Attack;
use crate::server::{Behaviour, Server, address};

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
        let Server { path, absence, .. } = &self.scenario.servers[server];
        if absence.is_some() {
            return;
        }
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
                } else if self.kept.is_none() {
                    self.kept_by_kernel.push_back(delivery);
                }
            }
        }
    }

    fn answer(&mut self, index: usize, octets: &[u8], sent_at: i64) {
        let at_s = self.at_s();
        let server = &self.scenario.servers[index];
        let time = match server.behaviour {
            Behaviour::Echoes => self.believed(),
            _ => Some(self.truth()),
        };
        let answer = |time| server.answer(octets, time, at_s, self.leap_now());
        let Some(octets) = time.and_then(answer) else { return };
        let (from, source) = (address(index), SourceId(index as u16));
        let up_s = (self.at - sent_at) as f64 / 1e9;
        let exchange = self.exchange(index, at_s, up_s, 0.0);
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

    /// What the client thinks true time to be.
    fn believed(&self) -> Option<Timestamp> {
        let reading = self.state.reading(self.clocks.now());
        self.state.offset.map(|_| reading.estimate)
    }

    /// The process reads a datagram from its socket.
    pub(super) fn hand_over(&mut self, delivery: &Delivery) {
        let Delivery { source, from, octets, received_at } = delivery;
        let (source, from, received_at) = (*source, *from, *received_at);
        self.feed(Input::Datagram { source, from, octets, received_at });
    }

    /// Reads a clock at hand, just now: what was read is as old as the way back takes.
    pub(super) fn read_clock(&mut self, source: SourceId) -> Option<Input<'static>> {
        let index = usize::from(source.0);
        let (at_s, noise) = (self.at_s(), &mut self.network_noise[index]);
        let server = &self.scenario.servers[index];
        let up = server.path.request(at_s, noise)?;
        let down = *server.path.answer(at_s, noise).first()?;
        let scatter = server.draw_scatter(noise);
        let times = ReadTimes {
            system: self.clocks.now().system - Span::from_nanos((up + down) / 2),
            delay: Span::from_nanos(up + down),
            truth: self.truth() - Span::from_nanos(down),
            counted: self.counted() - Span::from_nanos(down),
        };
        let result = server.read(&times, scatter, at_s, self.leap_now().awaited);
        let (up_s, down_s) = (up as f64 / 1e9, down as f64 / 1e9);
        self.note_exchange(self.exchange(index, at_s, up_s, down_s));
        Some(Input::Measured { source, result })
    }

    fn exchange(&self, index: usize, at_s: f64, up_s: f64, down_s: f64) -> Exchange {
        let server = &self.scenario.servers[index];
        Exchange {
            server: index,
            at_s,
            raw_error_s: self.clocks.raw_error(),
            up_s,
            down_s,
            base_up_s: server.path.up.base_at(at_s),
            base_down_s: server.path.down.base_at(at_s),
            server_error_s: server.error_at(at_s).as_seconds_f64(),
            claimed_error_s: server.claimed_error().as_seconds_f64(),
        }
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
