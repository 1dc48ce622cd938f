//! What the fuzzers found interesting stays true without a fuzzer.

#[path = "../../../fuzz/properties/ntp_exchange.rs"]
mod ntp_exchange;
#[path = "../../../fuzz/properties/ntp_packet.rs"]
mod ntp_packet;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn any_datagram_is_refused_or_written_as_it_came() {
    replay::corpus("ntp_packet", ntp_packet::check);
}

#[test]
fn no_datagram_makes_our_server_amplify_or_our_client_believe_nonsense() {
    replay::corpus("ntp_exchange", ntp_exchange::check);
}
