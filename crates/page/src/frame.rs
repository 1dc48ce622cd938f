//! The form of one server-sent event (HTML Living Standard, "Server-sent events").

use serde::Serialize;

/// Frames one event: its name, and its data as one line of JSON.
pub(crate) fn frame(name: &str, data: &impl Serialize) -> String {
    // serde_json escapes line ends within strings and writes none of its own.
    let json = serde_json::to_string(data).expect("the types of the API are plain data");
    format!("event: {name}\ndata: {json}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeball_api::events::ClockPoint;

    #[test]
    fn an_event_is_framed_as_one_name_and_one_line_of_data() {
        let point = ClockPoint {
            system_ns: 1_795_000_000_000_000_000,
            offset_ns: Some(-12_300),
            bound_ns: None,
            earliest_offset_ns: None,
            latest_offset_ns: None,
            state: "line\nbreak".to_owned(),
        };
        assert_eq!(
            frame("clock", &point),
            "event: clock\ndata: {\"system_ns\":1795000000000000000,\"offset_ns\":-12300,\
             \"bound_ns\":null,\"earliest_offset_ns\":null,\"latest_offset_ns\":null,\
             \"state\":\"line\\nbreak\"}\n\n"
        );
    }
}
