"""Causes: why a training run goes wrong, one word each. A finding names one of these.

Facts: group (where it lies).
"""

from glia.catalog.entry import Entry

_WORDS: dict[str, dict[str, str]] = {
    "data": {
        "data_not_normalised": "inputs far from mean 0 and deviation 1, or of very different scales",
        "target_not_normalised": "numbers to predict of a scale that the network cannot reach in its steps",
        "val_preprocessing_mismatch": "held-out inputs prepared in another way than training inputs",
        "wrong_preprocessing": "inputs reshaped, merged or cut in a way that loses what they say",
        "labels_wrong_encoding": "labels in a form, range or scale that the loss or the output does not take",
        "labels_corrupted": "labels that do not belong to their rows: shifted, shuffled or noise",
        "class_imbalance": "a class so rare that never predicting it costs almost nothing",
        "data_leak": "an input says the answer, or held-out rows are training rows",
        "nan_in_data": "missing or infinite numbers among the inputs",
        "missing_shuffle": "rows in the order of their classes, never shuffled",
    },
    "activation": {
        "missing_output_activation": "the loss takes probabilities, the network gives raw numbers",
        "wrong_output_activation": "what follows the last layer cannot give the answers, or is applied twice",
        "missing_hidden_activation": "linear layers in a row, with nothing between them",
        "wrong_hidden_activation": "a hidden activation that saturates, dies or slows learning",
        "vanishing_gradient_architecture": "depth, width and activation together let almost no gradient through",
    },
    "loss": {
        "wrong_loss": "a loss that fits neither the answers nor the outputs",
        "wrong_loss_reduction": "a loss summed over rows where the settings expect a mean",
        "unstable_loss_impl": "logarithms or exponentials written out that become infinite",
        "flipped_loss_sign": "a loss that is made larger, not smaller",
    },
    "optimiser": {
        "lr_too_high": "steps longer than this loss bears: it jumps, diverges or dies",
        "lr_too_low": "steps so short that the loss hardly moves",
        "wrong_optimizer": "an optimiser that does not fit the task and its steps",
        "wrong_optimizer_eps": "a secondary option of the optimiser that makes its steps vanish",
        "too_few_epochs": "training ends while the loss is falling fast",
        "bad_batch_size": "batches so large that steps are few, or so small that they are noise",
    },
    "weights": {
        "wrong_init": "first weights that are all the same, or far too large or small",
        "missing_normalisation_layer": "a network that trains only with norms between its layers",
        "too_few_units": "a layer too narrow for what must pass it",
        "too_many_units": "far more weights than the rows can settle",
        "too_few_layers": "too shallow for what it must compute",
        "too_many_layers": "too deep for its activations, first weights and steps",
        "wrong_output_units": "not as many outputs as there are classes or numbers to predict",
    },
    "regularisation": {
        "missing_regularisation": "nothing keeps a large network from learning few rows by heart",
        "over_regularised": "a penalty that outweighs the loss of the data",
        "dropout_too_high": "so many units dropped that too little gets through",
        "overfit": "training rows known by heart, held-out rows not",
    },
    "loop": {
        "missing_zero_grad": "gradients of earlier steps are never cleared",
        "missing_zero_grad_order": "gradients are cleared between backward() and step()",
        "missing_step": "optimizer.step() is never called",
        "params_not_in_optimizer": "parameters that the optimiser was not given",
        "frozen_params": "parameters that should train and want no gradient",
        "detached_graph": "the way from the loss to the weights is cut",
        "shape_broadcast": "outputs and targets of different shapes are stretched to fit",
        "eval_mode_wrong": "train() or eval() at the wrong time",
        "missing_clipping": "rare huge gradients that clipping would hold",
        "missing_validation": "no held-out rows: nothing shows what was learned",
        "wrong_metric": "a figure of merit computed on the wrong scale or against the wrong answers",
    },
    "cost": {
        "slow_loading": "the network waits for its batches",
        "slow_step": "time lost in a step on what need not be done there",
        "memory_growth": "memory held from step to step",
    },
}

ENTRIES = tuple(
    Entry(name, "glia.doctor.finding:Finding", summary, None, {"group": group})
    for group, words in _WORDS.items()
    for name, summary in words.items()
)
ALIASES: dict[str, str] = {}
