// Correlation coefficients; `tests/browser` compares them with scipy's.

const Z975 = 1.959963984540054; // 97.5 % quantile of the standard normal distribution

// Pearson's r of two lists of numbers; null for fewer than ``fewest``, or where one is constant.
function pearson(x, y, fewest) {
  const n = x.length;
  // The sums of squares of a constant list can be above 0, by rounding of its mean.
  if (n < fewest || [x, y].some((values) => values.every((value) => value === values[0]))) return null;
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / n;
  const [mx, my] = [mean(x), mean(y)];
  let [sxx, syy, sxy] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    sxx += (x[i] - mx) ** 2;
    syy += (y[i] - my) ** 2;
    sxy += (x[i] - mx) * (y[i] - my);
  }
  return Math.max(-1, Math.min(1, sxy / Math.sqrt(sxx * syy)));
}

// The 95 % interval of r after Fisher (1921): artanh r is about normal with variance 1 / (n - 3).
function fisherInterval(r, n) {
  if (r === null) return null;
  const half = Z975 / Math.sqrt(n - 3);
  return [Math.tanh(Math.atanh(r) - half), Math.tanh(Math.atanh(r) + half)];
}

// Ranks from 1; equal values share the mean of theirs.
function ranks(values) {
  const order = values.map((_, index) => index).sort((a, b) => values[a] - values[b]);
  const result = new Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end + 1 < order.length && values[order[end + 1]] === values[order[start]]) end++;
    for (let i = start; i <= end; i++) result[order[i]] = (start + end) / 2 + 1;
    start = end + 1;
  }
  return result;
}

// Spearman's rank correlation: Pearson's r of the ranks.
function spearman(x, y, fewest) {
  return pearson(ranks(x), ranks(y), fewest);
}
