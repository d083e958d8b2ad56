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
    NC0 = "arXiv:2602.16642",
        "arXiv:2602.16642 (2026), which names it NC0.";
    AGRAWAL = "Agrawal et al. 2022",
        "K. K. Agrawal, A. K. Mondal, A. Ghosh, B. A. Richards (2022). α-ReQ: Assessing Representation Quality in Self-Supervised Learning by Measuring Eigenspectrum Decay. NeurIPS.";
    AMMAR = "Ammar et al. 2024",
        "M. Ben Ammar, N. Belkhir, S. Popescu, A. Manzanera, G. Franchi (2024). NECO: Neural Collapse Based Out-of-distribution Detection. ICLR.";
    BAO = "Bao et al. 2019",
        "Y. Bao, Y. Li, S.-L. Huang, L. Zhang, L. Zheng, A. Zamir, L. Guibas (2019). An Information-Theoretic Approach to Transferability in Task Transfer Learning. ICIP.";
    CALINSKI = "Caliński & Harabasz 1974",
        "T. Caliński, J. Harabasz (1974). A Dendrite Method for Cluster Analysis. Communications in Statistics 3(1), 1–27.";
    DAVIES = "Davies & Bouldin 1979",
        "D. L. Davies, D. W. Bouldin (1979). A Cluster Separation Measure. IEEE TPAMI 1(2), 224–227.";
    ETHAYARAJH = "Ethayarajh 2019",
        "K. Ethayarajh (2019). How Contextual are Contextualized Word Representations? Comparing the Geometry of BERT, ELMo, and GPT-2 Embeddings. EMNLP.";
    FANG = "Fang et al. 2021",
        "C. Fang, H. He, Q. Long, W. J. Su (2021). Exploring Deep Neural Networks via Layer-Peeled Model: Minority Collapse in Imbalanced Training. PNAS 118(43).";
    FUKUNAGA = "Fukunaga 1990",
        "K. Fukunaga (1990). Introduction to Statistical Pattern Recognition, 2nd edition, chapter 10. Academic Press.";
    GALANTI = "Galanti et al. 2021",
        "T. Galanti, A. György, M. Hutter (2021). On the Role of Neural Collapse in Transfer Learning. ICLR 2022, arXiv:2112.15121.";
    GARRIDO = "Garrido et al. 2023",
        "Q. Garrido, R. Balestriero, L. Najman, Y. LeCun (2023). RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their Rank. ICML.";
    HAN = "Han et al. 2022",
        "X. Y. Han, V. Papyan, D. L. Donoho (2022). Neural Collapse Under MSE Loss: Proximity to and Dynamics on the Central Path. ICLR.";
    JOLLIFFE = "Jolliffe 2002",
        "I. T. Jolliffe (2002). Principal Component Analysis, 2nd edition, chapter 6. Springer.";
    KOTHAPALLI = "Kothapalli 2023",
        "V. Kothapalli (2023). Neural Collapse: A Review on Modelling Principles and Generalization. TMLR.";
    LEE = "Lee et al. 2018",
        "K. Lee, K. Lee, H. Lee, J. Shin (2018). A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks. NeurIPS.";
    LIU = "Liu et al. 2023",
        "W. Liu, L. Yu, A. Weller, B. Schölkopf (2023). Generalizing and Decoupling Neural Collapse via Hyperspherical Uniformity Gap. ICLR.";
    MASARCZYK = "Masarczyk et al. 2023",
        "W. Masarczyk, M. Ostaszewski, E. Imani, R. Pascanu, P. Miłoś, T. Trzciński (2023). The Tunnel Effect: Building Data Representations in Deep Neural Networks. NeurIPS.";
    MCLACHLAN = "McLachlan 1992",
        "G. J. McLachlan (1992). Discriminant Analysis and Statistical Pattern Recognition. Wiley.";
    PAPYAN = "Papyan et al. 2020",
        "V. Papyan, X. Y. Han, D. L. Donoho (2020). Prevalence of Neural Collapse During the Terminal Phase of Deep Learning Training. PNAS 117(40), 24652–24663.";
    RANGAMANI = "Rangamani et al. 2023",
        "A. Rangamani, M. Lindegaard, T. Galanti, T. Poggio (2023). Feature Learning in Deep Classifiers Through Intermediate Neural Collapse. ICML.";
    REN = "Ren et al. 2021",
        "J. Ren, S. Fort, J. Liu, A. G. Roy, S. Padhy, B. Lakshminarayanan (2021). A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection. arXiv:2106.09022.";
    ROY = "Roy & Vetterli 2007",
        "O. Roy, M. Vetterli (2007). The Effective Rank: A Measure of Effective Dimensionality. EUSIPCO.";
    RUDELSON = "Rudelson & Vershynin 2007",
        "M. Rudelson, R. Vershynin (2007). Sampling from Large Matrices: An Approach through Geometric Functional Analysis. Journal of the ACM 54(4).";
    THILAK = "Thilak et al. 2024",
        "V. Thilak, C. Huang, O. Saremi, L. Dinh, H. Goh, P. Nakkiran, J. M. Susskind, E. Littwin (2024). LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL Architectures. ICLR.";
    THRAMPOULIDIS = "Thrampoulidis et al. 2022",
        "C. Thrampoulidis, G. R. Kini, V. Vakilian, T. Behnia (2022). Imbalance Trouble: Revisiting Neural-Collapse Geometry. NeurIPS.";
    TIRER = "Tirer et al. 2023",
        "T. Tirer, H. Huang, J. Niles-Weed (2023). Perturbation Analysis of Neural Collapse. ICML.";
    WANG = "Wang & Isola 2020",
        "T. Wang, P. Isola (2020). Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere. ICML.";
    WU = "Wu & Papyan 2024",
        "R. Wu, V. Papyan (2024). Linguistic Collapse: Neural Collapse in (Large) Language Models. NeurIPS, arXiv:2405.17767.";
    XU = "Xu & Liu 2023",
        "J. Xu, H. Liu (2023). Quantifying the Variability Collapse of Neural Networks. ICML.";
    YOU = "You et al. 2021",
        "K. You, Y. Liu, J. Wang, M. Long (2021). LogME: Practical Assessment of Pre-trained Models for Transfer Learning. ICML.";
    ZHU = "Zhu et al. 2021",
        "Z. Zhu, T. Ding, J. Zhou, X. Li, C. You, J. Sulam, Q. Qu (2021). A Geometric Analysis of Neural Collapse with Unconstrained Features. NeurIPS.";
}

/// The papers that metrics come from, by name.
pub fn papers() -> &'static [&'static Paper] {
    &PAPERS
}
