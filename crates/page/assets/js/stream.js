// The event stream, with one honest word about it: connecting, live or lost. The browser connects
// anew by itself after a break; where it gives up (the server refused), we try again.

const RETRY_MS = 3000;
// Events come each second; after this much silence the figures on the page are old.
const SILENCE_MS = 5000;
// A page that nobody sees leaves its place to others (a browser opens six connections to a server);
// the backlog fills the gap when it is seen again.
const HIDDEN_MS = 15000;

/** Follows `url`; `handlers` has one function an event name, and `state(word)`. */
export function follow(url, handlers) {
  let source = null;
  let heardAt = performance.now();
  let state = "connecting";
  let leaving = 0;

  const say = (word) => {
    if (state !== word) {
      state = word;
      handlers.state(word);
    }
  };
  const close = () => {
    source?.close();
    source = null;
  };
  const open = () => {
    close();
    const opened = connect(url, handlers, () => {
      heardAt = performance.now();
      say("live");
    });
    opened.addEventListener("error", () => {
      say("lost");
      if (opened.readyState === EventSource.CLOSED) {
        setTimeout(() => source === opened && open(), RETRY_MS);
      }
    });
    source = opened;
  };

  setInterval(() => {
    if (state === "live" && performance.now() - heardAt > SILENCE_MS) {
      say("lost");
    }
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (document.hidden) {
      leaving = setTimeout(close, HIDDEN_MS);
    } else if (source === null) {
      say("connecting");
      open();
    }
  });
  open();
}

function connect(url, handlers, heard) {
  const source = new EventSource(url);
  for (const name of ["backlog", "clock", "status", "schedules"]) {
    source.addEventListener(name, (event) => {
      heard();
      handlers[name](JSON.parse(event.data));
    });
  }
  return source;
}
