// Round steps for axes.

/** The smallest of 1, 2, 5, 10, 20, 50, … that is at least `size`. */
export function roundUp(size) {
  const decade = 10 ** Math.floor(Math.log10(size));
  const step = [1, 2, 5, 10].find((digit) => digit * decade >= size * (1 - 1e-9)) ?? 10;
  return step * decade;
}

/** Round values from `low` to `high`, at most `most` of them. */
export function ticks(low, high, most) {
  const step = roundUp((high - low) / most);
  const values = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) {
    values.push(i * step);
  }
  return values;
}
