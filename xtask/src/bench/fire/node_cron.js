// node-cron every second: prints how late each fire is, in nanoseconds.
const cron = require("node-cron");

const SECOND = 1e9;

cron.schedule("* * * * * *", () => {
  const now = Math.round((performance.timeOrigin + performance.now()) * 1e6);
  console.log(((now + SECOND / 2) % SECOND) - SECOND / 2);
});
