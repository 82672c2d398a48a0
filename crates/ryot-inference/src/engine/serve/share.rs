//! How the prompt tokens of a step are shared out.

/// Tokens for each prompt out of `budget`; `left` are the tokens that each still needs, oldest
/// first.
///
/// The oldest gets half of the budget; the rest goes to the others, shortest first, and back to the
/// oldest if they do not need it. So a long prompt does not hold up the short ones behind it, and
/// they do not hold it up for ever. Uses the whole budget while there are tokens for it.
pub(super) fn share(budget: usize, left: &[usize]) -> Vec<usize> {
    let mut shares = vec![0; left.len()];
    let Some((&oldest, others)) = left.split_first() else {
        return shares;
    };
    let mut rest = budget - oldest.min(budget.div_ceil(2));
    let mut by_length: Vec<(usize, usize)> = others.iter().copied().zip(1..).collect();
    by_length.sort_unstable();
    for (left, at) in by_length {
        let given = left.min(rest);
        if let Some(share) = shares.get_mut(at) {
            *share = given;
        }
        rest -= given;
    }
    let given: usize = shares.iter().sum();
    if let Some(share) = shares.first_mut() {
        *share = oldest.min(budget - given);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples() {
        for (budget, left, expected) in [
            (8, vec![], vec![]),
            (8, vec![100], vec![8]),
            (8, vec![3], vec![3]),
            (8, vec![100, 2], vec![6, 2]),
            (8, vec![100, 100], vec![4, 4]),
            (8, vec![2, 100, 1], vec![2, 5, 1]),
            (1, vec![5, 5, 5], vec![1, 0, 0]),
            (12, vec![100, 100, 1, 4], vec![6, 1, 1, 4]),
            (12, vec![100, 5, 5], vec![6, 5, 1]),
        ] {
            assert_eq!(share(budget, &left), expected, "{budget} to {left:?}");
        }
    }

    proptest! {
        #[test]
        fn uses_the_budget_and_gives_nobody_too_much(
            budget in 1usize..600,
            left in proptest::collection::vec(1usize..900, 1..20),
        ) {
            let shares = share(budget, &left);
            prop_assert_eq!(shares.len(), left.len());
            prop_assert!(shares.iter().zip(&left).all(|(s, l)| s <= l));
            let all: usize = left.iter().sum();
            prop_assert_eq!(shares.iter().sum::<usize>(), all.min(budget));
            prop_assert!(shares[0] >= left[0].min(budget.div_ceil(2)));
        }
    }
}
