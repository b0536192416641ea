//! The most that a pod's containers need at one time.

/// Amounts of something that containers need.
pub trait Amounts: Default {
    /// Adds everything.
    fn add(&mut self, other: &Self);

    /// Keeps of each the larger amount.
    fn max(&mut self, other: &Self);
}

/// The most that is needed at one time, by the containers that run beside each other (`together`) or, before them, by
/// one init container beside the sidecars that were started earlier. `starting` are init containers in their order, and
/// whether each is a sidecar, that is, stays.
///
/// What the pod asks for as a whole, and its overhead, come on top.
pub fn peak<A: Amounts>(
    together: impl IntoIterator<Item = A>,
    starting: impl IntoIterator<Item = (bool, A)>,
) -> A {
    let (mut sidecars, mut most) = (A::default(), A::default());
    for (stays, mut needed) in starting {
        if stays {
            sidecars.add(&needed);
            most.max(&sidecars);
        } else {
            needed.add(&sidecars);
            most.max(&needed);
        }
    }
    let mut sum = A::default();
    for needed in together {
        sum.add(&needed);
    }
    sum.add(&sidecars);
    sum.max(&most);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, PartialEq, Debug)]
    struct Units(u32);

    impl Amounts for Units {
        fn add(&mut self, other: &Self) {
            self.0 += other.0;
        }

        fn max(&mut self, other: &Self) {
            self.0 = self.0.max(other.0);
        }
    }

    #[test]
    fn what_runs_together_is_added_and_init_containers_are_peaks() {
        for (together, starting, most) in [
            (vec![], vec![], 0),
            (vec![1, 2], vec![], 3),
            (vec![1, 2], vec![(false, 2), (false, 5), (false, 4)], 5),
            (vec![1, 2], vec![(true, 2), (true, 1)], 6),
            // Only sidecars that were started before it are beside it.
            (vec![1], vec![(true, 2), (false, 7), (true, 4)], 9),
            (vec![3], vec![(true, 2), (false, 7), (true, 4)], 9),
            (vec![4], vec![(true, 2), (false, 7), (true, 4)], 10),
        ] {
            let starting = starting.into_iter().map(|(stays, n)| (stays, Units(n)));
            assert_eq!(peak(together.into_iter().map(Units), starting), Units(most));
        }
    }
}
