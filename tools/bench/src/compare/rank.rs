//! The exact rank test of two sets of values.
//!
//! All values are ranked together, equal ones with the mean of their ranks. If both sides came from one source, every way
//! to deal the values to two sides of these sizes were as likely as any other. The chance is the share of ways in which
//! the rank sum of the first side is at least as far from its mean as it is. No assumption about distributions, and exact
//! with ties and with few values, where a normal approximation is not.

/// The two-sided chance that a difference as large as this comes about by luck.
///
/// Cost: the fourth power of the sizes, a few million steps for thirty values on each side.
#[must_use]
pub fn chance(a: &[f64], b: &[f64]) -> f64 {
    let all: Vec<_> = a.iter().chain(b).copied().collect();
    let ranks = doubled_ranks(&all);
    let observed: usize = ranks[..a.len()].iter().sum();
    let ways = ways(&ranks, a.len());
    // Twice the mean of the sum of doubled ranks, so that it is whole.
    let center = 2 * a.len() * (all.len() + 1);
    let distance = |sum: usize| (2 * sum).abs_diff(center);
    let total: f64 = ways.iter().sum();
    let as_far: f64 =
        ways.iter().enumerate().filter(|(sum, _)| distance(*sum) >= distance(observed)).map(|(_, n)| n).sum();
    if total > 0.0 { as_far / total } else { 1.0 }
}

/// Twice the rank of each value: whole also where equal values share the mean of theirs.
fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let below = |value: f64| values.iter().filter(|other| **other < value).count();
    let equal = |value: f64| values.iter().filter(|other| **other == value).count();
    // Ranks below + 1 ..= below + equal, whose mean is below + (equal + 1) / 2.
    values.iter().map(|value| 2 * below(*value) + equal(*value) + 1).collect()
}

/// In how many ways `size` of the ranks have each sum.
fn ways(ranks: &[usize], size: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; size + 1];
    ways[0][0] = 1.0;
    for (nth, rank) in ranks.iter().enumerate() {
        for taken in (0..size.min(nth + 1)).rev() {
            let (fewer, more) = ways.split_at_mut(taken + 1);
            for (sum, count) in fewer[taken].iter().enumerate().filter(|(_, count)| **count > 0.0) {
                more[0][sum + rank] += count;
            }
        }
    }
    ways.swap_remove(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    /// Goal: chances are those of published tables: complete separation is 2 of all ways; known U values have known chances.
    #[test]
    fn known_chances() {
        let low = |n: usize| (0..n).map(|x| x as f64).collect::<Vec<_>>();
        let high = |n: usize| (0..n).map(|x| 100.0 + x as f64).collect::<Vec<_>>();
        for (n, all) in [(2, 6.0), (3, 20.0), (4, 70.0), (5, 252.0), (8, 12_870.0)] {
            assert!(close(chance(&low(n), &high(n)), 2.0 / all), "{n}");
            assert!(close(chance(&high(n), &low(n)), 2.0 / all), "{n}");
        }
        // U = 2 of 5 against 5: 8 of 252 ways, the table's 0.032.
        let (a, b) = ([1.0, 2.0, 3.0, 5.0, 6.0], [4.0, 7.0, 8.0, 9.0, 10.0]);
        assert!(close(chance(&a, &b), 8.0 / 252.0), "{}", chance(&a, &b));
        // 3 against 5, U = 1: 4 of 56 ways, the table's 0.071.
        let (a, b) = ([1.0, 2.0, 4.0], [3.0, 5.0, 6.0, 7.0, 8.0]);
        assert!(close(chance(&a, &b), 4.0 / 56.0), "{}", chance(&a, &b));
    }

    /// Goal: equal values prove nothing, interleaved ones neither, and thirty on each side are still computed.
    #[test]
    fn nothing_to_see() {
        assert!(close(chance(&[5.0; 5], &[5.0; 5]), 1.0));
        let (even, odd): (Vec<_>, Vec<_>) = (0..10).map(|x| (f64::from(2 * x), f64::from(2 * x + 1))).unzip();
        assert!(chance(&even, &odd) > 0.5);
        let many: Vec<_> = (0..30).map(f64::from).collect();
        let more: Vec<_> = many.iter().map(|x| x + 20.0).collect();
        assert!(chance(&many, &more) < 1e-9);
    }

    /// Goal: under no difference, the test calls 1 % of random comparisons a difference, and not more.
    #[test]
    fn equals_rarely_differ() {
        let mut rng = crate::rng::Rng::new(7);
        let mut draw = || (0..6).map(|_| rng.unit()).collect::<Vec<_>>();
        let alarms = (0..1_000).filter(|_| chance(&draw(), &draw()) < 0.01).count();
        assert!((1..25).contains(&alarms), "{alarms} of 1,000");
    }
}
