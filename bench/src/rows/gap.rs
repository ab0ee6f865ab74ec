//! Between two init containers that work: the end of one's program to the first instruction of the next one's.

use super::chain;
use crate::Result;
use crate::lab::{Lab, stamps};
use crate::report::{Bound, Row};
use crate::runners::APART;

const GAP: &str = "from one to the next";
const INITS: usize = 10;

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Row>> {
    let mut row = Row::new(
        "gap",
        "Between two init containers that work",
        "ms",
        format!(
            "The time from the end of one init container's program to the first instruction of the next one's, in chains of {INITS} that \
             wait for 10 ms each. In the chains above the programs do nothing at all, so that there is hardly a time in which the next \
             container could be made; these have one, as real ones do."
        ),
    );
    let names: Vec<String> = (0..INITS).map(|i| format!("work-{i}")).collect();
    for round in 0..lab.runs(9) {
        for subject in ["podyard", "podman", "floor", APART] {
            if subject == "podman" && (lab.podman.is_none() || round % 3 != 0) {
                continue;
            }
            match gaps(lab, subject, &names) {
                Ok(gaps) => gaps
                    .into_iter()
                    .for_each(|gap| row.add(GAP, subject, Ok(gap))),
                Err(error) => row.add(GAP, subject, Err(error)),
            }
        }
    }
    row.sort_by_what();
    for (text, other) in [
        (
            "between two init containers that work, podyard ÷ floor",
            "floor",
        ),
        (
            "between two init containers that work, podyard ÷ floor that is kept apart",
            APART,
        ),
    ] {
        row.goal(text, GAP, "podyard", other, Bound::AtMost(0.7));
    }
    row.goal(
        "between two init containers that work, podman ÷ podyard",
        GAP,
        "podman",
        "podyard",
        Bound::AtLeast(15.0),
    );
    row.commands = vec![
        "podyard run -d chain.yaml".to_owned(),
        "podman kube play chain.yaml".to_owned(),
        "podyard-bench-floor DIRECTORY ROOTFS APP OUT work-0 work-1 … app".to_owned(),
    ];
    Ok(vec![row])
}

/// One for each init container: to the next one, or to the app.
fn gaps(lab: &Lab, subject: &str, names: &[String]) -> Result<Vec<f64>> {
    let out = lab.out("gap")?;
    chain::play(lab, subject, names, &out)?;
    let stamps = stamps(&out);
    let at = |name: &str| -> Result<i64> {
        let stamp = stamps.iter().find(|(of, _)| of == name);
        Ok(stamp.ok_or_else(|| format!("no stamp of {name}"))?.1)
    };
    let following = names.iter().skip(1).map(String::as_str).chain(["app"]);
    names
        .iter()
        .zip(following)
        .map(|(one, next)| Ok((at(next)? - at(&format!("{one}.end"))?) as f64 / 1e6))
        .collect()
}
