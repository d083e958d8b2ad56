//! Where metrics come from.

/// A paper that defines a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Authors and year.
    pub name: &'static str,
    /// The whole reference.
    pub reference: &'static str,
}

macro_rules! papers {
    ($($paper:ident = $name:literal, $reference:literal;)*) => {
        $(pub(super) static $paper: Paper = Paper { name: $name, reference: $reference };)*

        /// All of them, by name.
        pub(super) static PAPERS: [&Paper; [$($name),*].len()] = [$(&$paper),*];
    };
}

papers! {
    AMMAR = "Ammar et al. 2024",
        "M. Ben Ammar, N. Belkhir, S. Popescu, A. Manzanera, G. Franchi (2024). NECO: Neural Collapse Based Out-of-distribution Detection. ICLR.";
    GALANTI = "Galanti et al. 2021",
        "T. Galanti, A. György, M. Hutter (2021). On the Role of Neural Collapse in Transfer Learning. ICLR 2022, arXiv:2112.15121.";
    HAN = "Han et al. 2022",
        "X. Y. Han, V. Papyan, D. L. Donoho (2022). Neural Collapse Under MSE Loss: Proximity to and Dynamics on the Central Path. ICLR.";
    KOTHAPALLI = "Kothapalli 2023",
        "V. Kothapalli (2023). Neural Collapse: A Review on Modelling Principles and Generalization. TMLR.";
    LIU = "Liu et al. 2023",
        "W. Liu, L. Yu, A. Weller, B. Schölkopf (2023). Generalizing and Decoupling Neural Collapse via Hyperspherical Uniformity Gap. ICLR.";
    PAPYAN = "Papyan et al. 2020",
        "V. Papyan, X. Y. Han, D. L. Donoho (2020). Prevalence of Neural Collapse During the Terminal Phase of Deep Learning Training. PNAS 117(40), 24652–24663.";
    RANGAMANI = "Rangamani et al. 2023",
        "A. Rangamani, M. Lindegaard, T. Galanti, T. Poggio (2023). Feature Learning in Deep Classifiers Through Intermediate Neural Collapse. ICML.";
    TIRER = "Tirer et al. 2023",
        "T. Tirer, H. Huang, J. Niles-Weed (2023). Perturbation Analysis of Neural Collapse. ICML.";
    WU = "Wu & Papyan 2024",
        "R. Wu, V. Papyan (2024). Linguistic Collapse: Neural Collapse in (Large) Language Models. NeurIPS, arXiv:2405.17767.";
    XU = "Xu & Liu 2023",
        "J. Xu, H. Liu (2023). Quantifying the Variability Collapse of Neural Networks. ICML.";
    ZHU = "Zhu et al. 2021",
        "Z. Zhu, T. Ding, J. Zhou, X. Li, C. You, J. Sulam, Q. Qu (2021). A Geometric Analysis of Neural Collapse with Unconstrained Features. NeurIPS.";
}

/// The papers that metrics come from, by name.
pub fn papers() -> &'static [&'static Paper] {
    &PAPERS
}
