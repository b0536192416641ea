//! The known names that are nearest to one that is not known.

/// At most `limit` of the known names that could have been meant, best first.
pub(crate) fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    limit: usize,
) -> Vec<&'a str> {
    let wanted = name.to_lowercase();
    let tolerated = (wanted.chars().count() / 3).max(1);
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|candidate| {
            let lower = candidate.to_lowercase();
            let distance = strsim::damerau_levenshtein(&wanted, &lower);
            let starts = wanted.len() >= 3 && lower.starts_with(&wanted);
            (distance <= tolerated || starts).then_some((distance, candidate))
        })
        .collect();
    found.sort();
    found.dedup_by(|a, b| a.1 == b.1);
    found
        .into_iter()
        .take(limit)
        .map(|(_, candidate)| candidate)
        .collect()
}

/// The sentence "did you mean …?" for a name that is not known; none if nothing is near.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    match nearest(name, known, 3).as_slice() {
        [] => None,
        [one] => Some(format!("did you mean `{one}`?")),
        [first, rest @ ..] => {
            let rest: Vec<String> = rest.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("did you mean `{first}`, or {}?", rest.join(" or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_typo_and_an_unfinished_word() {
        let known = ["pods", "deployments", "podtemplates", "services"];
        assert_eq!(nearest("pod", known, 3), ["pods", "podtemplates"]);
        assert_eq!(nearest("deplyoments", known, 3), ["deployments"]);
        assert_eq!(nearest("Servces", known, 3), ["services"]);
        assert_eq!(did_you_mean("xyzzy", known), None);
        assert_eq!(
            did_you_mean("deploymnets", known).as_deref(),
            Some("did you mean `deployments`?")
        );
    }
}
