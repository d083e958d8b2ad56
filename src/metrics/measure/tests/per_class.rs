//! Numbers class by class and pair by pair, and remarks on decisions.

use super::*;

#[test]
fn classes_and_pairs_one_by_one() {
    let (statistics, head, findings) = (golden(), golden_head(), golden_findings());
    let evidence = Evidence { head: Some(&head), findings: Some(&findings), ..bare(&statistics) };
    let extras = Extras { per_class: true, worst_pairs: 2, ..Extras::default() };
    let all = measure(&evidence, &Options::default(), &select(&["nc2_norm_mean"]), extras).unwrap();
    assert_eq!(all.metrics.len(), 1);
    let rows = &all.per_class;
    assert_eq!(rows.iter().map(|row| row.count).collect::<Vec<u64>>(), [3, 4, 5, 6]);
    assert_close(rows[1].variance.unwrap(), 0.217_773_437_5, 1e-12);
    assert_close(rows[1].snr.unwrap(), rows[1].distance.powi(2) / 0.217_773_437_5, 1e-12);
    let mean = rows.iter().map(|row| row.distance).sum::<f64>() / 4.0;
    assert_close(mean, number(&all, "nc2_norm_mean"), 1e-14);
    assert_close(rows.iter().map(|row| row.cdnv_mean.unwrap()).sum::<f64>() / 4.0, 0.012_875_333_731_516_095, 1e-12);
    // Classes 2 and 3 are nearest to each other.
    assert_eq!(rows[2].worst_neighbour, Some(Label::Int(3)));
    assert_close(rows[3].cdnv_worst.unwrap(), 0.042_028_720_006_994_72, 1e-12);
    assert_close(rows.iter().map(|row| row.cos_head.unwrap()).sum::<f64>() / 4.0, 0.683_576_358_827_386_1, 1e-12);
    assert_close(rows.iter().map(|row| row.dot_head.unwrap()).sum::<f64>() / 4.0, 4.780_208_333_333_333, 1e-12);
    let hits = rows.iter().map(|row| (row.decisions, row.ncc_hits, row.classifier_hits, row.agreements));
    assert_eq!(hits.collect::<Vec<_>>()[3], (Some(6), Some(6), Some(0), Some(0)));

    assert_eq!(all.worst_pairs.len(), 2);
    let worst = &all.worst_pairs[0];
    assert_eq!((&worst.first, &worst.second), (&Label::Int(2), &Label::Int(3)));
    assert_close(worst.cdnv, 0.042_028_720_006_994_72, 1e-12);
    assert_close(worst.cdnv, f64::midpoint(0.171_25, 0.179_253_472_222_222_24) / worst.distance.powi(2), 1e-12);
    assert!(worst.cdnv > all.worst_pairs[1].cdnv);

    let alone = measure(&bare(&statistics), &Options::default(), &select(&["nc1"]), extras).unwrap();
    let row = &alone.per_class[0];
    assert_eq!((row.cos_head, row.decisions, row.agreements), (None, None, None));
    let nothing = measure(&evidence, &Options::default(), &select(&["nc1"]), Extras::default()).unwrap();
    assert!(nothing.per_class.is_empty() && nothing.worst_pairs.is_empty());
}

#[test]
fn decisions_are_matched_by_label() {
    let mut statistics = golden();
    let findings = golden_findings();
    statistics = statistics.retain(|class| class != 1);
    let evidence = Evidence { findings: Some(&findings), ..bare(&statistics) };
    let extras = Extras { per_class: true, ..Extras::default() };
    let all = measure(&evidence, &Options::default(), &select(&["nc2_norm_mean"]), extras).unwrap();
    assert!(all.per_class.iter().all(|row| row.cdnv_mean.is_some()), "classes show what no metric asked for");
    let rows: Vec<Option<u64>> = all.per_class.iter().map(|row| row.decisions).collect();
    assert_eq!(rows, [Some(3), Some(5), Some(6)]);
}

#[test]
fn remarks_on_decisions() {
    let (statistics, head) = (golden(), golden_head());
    let mut findings = golden_findings();
    let remarks = |findings: &SecondPassResult| {
        let evidence = Evidence { head: Some(&head), findings: Some(findings), ..bare(&statistics) };
        found(&run(&evidence, &Options::default(), &["nc4"]), "nc4_agreement").clone()
    };
    assert!(remarks(&findings).flags.is_empty());
    let decisions = findings.decisions.as_mut().unwrap();
    decisions.tallies[2].ties = 1;
    decisions.unseen = 7;
    assert_eq!(remarks(&findings).flags, ["ties", "unseen_classes", ROUNDED]);
    findings.decisions.as_mut().unwrap().tallies.fill(DecisionCounts::default());
    assert_eq!(remarks(&findings).reason, Some("unseen_classes"));
    findings.decisions.as_mut().unwrap().unseen = 0;
    assert_eq!(remarks(&findings).reason, Some("no_rows"));
}
