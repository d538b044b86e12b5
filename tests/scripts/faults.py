"""Faults: one row a sick twin: script, fault, old text, new text, and the causes that are right to name."""

from typing import NamedTuple


class Twin(NamedTuple):
    """A script with one thing changed. other: a second (old, new) that the first needs."""

    script: str
    fault: str
    old: str
    new: str
    causes: tuple[str, ...]

    def text(self, healthy: str) -> str:
        if healthy.count(self.old) < 1:
            raise ValueError(f"{self.script} does not hold {self.old!r}")
        return healthy.replace(self.old, self.new)


OVERFIT = ("overfit", "missing_regularisation")
TWINS = (
    Twin("mnist_style", "lr", "default=1.0)", "default=300.0)", ("lr_too_high",)),
    Twin("mnist_style", "zero_grad", "        optimizer.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("mnist_style", "log_softmax", "return F.log_softmax(x, dim=1)", "return x",
         ("missing_output_activation", "wrong_loss", "wrong_output_activation")),
    Twin("mnist_style", "eval", "    model.eval()\n", "", ("eval_mode_wrong",)),
    Twin("mnist_style", "shuffle", "train_set, test_set = torch.utils.data.random_split(data, [1437, 360])\n"
         "    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)",
         "o = torch.argsort(data.tensors[1][:1437], stable=True)\n"
         "    train_set = TensorDataset(data.tensors[0][o], data.tensors[1][o])\n"
         "    test_set = TensorDataset(data.tensors[0][1437:], data.tensors[1][1437:])\n"
         "    train_loader = DataLoader(train_set, batch_size=args.batch_size)", ("missing_shuffle",)),
    Twin("cifar_style", "lr", "lr=0.01, momentum", "lr=1.0, momentum", ("lr_too_high",)),
    Twin("cifar_style", "lr_low", "lr=0.01, momentum=0.9", "lr=0.00001, momentum=0.9", ("lr_too_low",)),
    Twin("cifar_style", "step", "        optimizer.step()\n", "", ("missing_step",)),
    Twin("cifar_style", "softmax", "return self.fc2(x)", "return F.softmax(self.fc2(x), dim=1)",
         ("wrong_output_activation",)),
    Twin("cifar_style", "relu_out", "return self.fc2(x)", "return F.relu(self.fc2(x))", ("wrong_output_activation",)),
    Twin("cifar_style", "not_normalised", "return (x - 0.5) / 0.5, y", "return x * 255, y", ("data_not_normalised",)),
    Twin("cifar_style", "some_params", "optim.SGD(net.parameters()", "optim.SGD(net.fc2.parameters()",
         ("params_not_in_optimizer",)),
    Twin("cifar_style", "labels", "return (x - 0.5) / 0.5, y", "return (x - 0.5) / 0.5, y[torch.randperm(n)]",
         ("labels_corrupted",)),
    Twin("char_gpt", "lr", "20, 3e-3, 3e-4", "20, 3.0, 3e-1", ("lr_too_high",)),
    Twin("char_gpt", "clear_late", "    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n",
         "    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n    optimizer.zero_grad()\n",
         ("missing_zero_grad_order",)),
    Twin("gan", "zero_grad", "    netD.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("gan", "params", "Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))",
         "Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))", ("params_not_in_optimizer",)),
    Twin("gan", "detach", "output = netD(fake).view(-1)", "output = netD(fake.detach()).view(-1)", ("detached_graph",)),
    Twin("wgan_gp", "zero_grad", "        opt_c.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("lstm_sine", "lr", "lr=0.01)", "lr=3.0)", ("lr_too_high",)),
    Twin("lstm_sine", "lr_low", "lr=0.01)", "lr=1e-6)", ("lr_too_low",)),
    Twin("lstm_sine", "broadcast_train", "ys[:split, None]", "ys[:split]", ("shape_broadcast",)),
    Twin("lstm_sine", "detach", "self.fc(out[:, -1, :])", "self.fc(out[:, -1, :].detach())", ("detached_graph",)),
    Twin("lstm_sine", "relu_out", "return self.fc(out[:, -1, :])", "return torch.relu(self.fc(out[:, -1, :]))",
         ("wrong_output_activation",)),
    Twin("gru_packed", "zero_grad", "        optimizer.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("gru_packed", "sign", "loss = criterion(model(text, lengths), label)",
         "loss = -criterion(model(text, lengths), label)", ("flipped_loss_sign",)),
    Twin("fine_tune", "frozen_head", "for p in model.backbone.parameters():", "for p in [*model.backbone.parameters(), "
         "model.head.weight]:", ("frozen_params",)),
    Twin("fine_tune", "lr", "fit(model, second_task, 12, 1e-2)", "fit(model, second_task, 12, 1e-7)", ("lr_too_low",)),
    Twin("vae", "lr", "lr=1e-3", "lr=1.0", ("lr_too_high",)),
    Twin("vae", "sign", "return BCE + KLD", "return -BCE + KLD", ("flipped_loss_sign",)),
    Twin("vae", "zero_grad", "        optimizer.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("autoencoder", "raw", ".flatten(1) / 16", ".flatten(1)",
         ("labels_wrong_encoding", "wrong_output_activation", "target_not_normalised", "data_not_normalised")),
    Twin("autoencoder", "lr", "lr=3e-3", "lr=1.0", ("lr_too_high",)),
    Twin("lbfgs", "linear", "nn.Tanh()", "nn.Identity()", ("missing_hidden_activation",)),
    Twin("accumulate_amp", "zero_grad", "            optimizer.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("accumulate_amp", "lr", "lr=3e-3)", "lr=3.0)", ("lr_too_high",)),
    Twin("accumulate_amp", "eval", "    model.eval()\n", "", ("eval_mode_wrong",)),
    Twin("compiled", "softmax", "return self.layers(x)", "return self.layers(x).softmax(1)",
         ("wrong_output_activation",)),
    Twin("compiled", "loss", "criterion(model(X_train[index]), y_train[index])",
         "((model(X_train[index]).argmax(1).float() - y_train[index]) ** 2).mean().requires_grad_()",
         ("detached_graph", "wrong_loss")),
    Twin("kfold", "reuse", "    network = reset()\n", "    network = reset() if fold == 0 else network\n",
         ("data_leak",)),
    Twin("kfold", "broadcast", "outputs = network(inputs).squeeze(1)\n"
         "            loss = loss_function(outputs, targets)",
         "outputs = network(inputs)\n            loss = ((outputs - targets) ** 2).mean()", ("shape_broadcast",)),
    Twin("kfold", "lr", "lr=1e-2", "lr=1e-7", ("lr_too_low",)),
    Twin("seq2seq", "step", "        optimizer.step()\n", "", ("missing_step",)),
    Twin("seq2seq", "lr", "lr=4e-3", "lr=1.0", ("lr_too_high",)),
    Twin("seq2seq", "not_shifted", "trg[:, 1:].reshape(-1)", "trg[:, :-1].reshape(-1)", ("data_leak", "wrong_loss",
         "labels_corrupted")),
    Twin("triplet", "zero_grad", "        optimizer.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("triplet", "step", "        optimizer.step()\n", "", ("missing_step",)),
    Twin("triplet", "detach", "model(anchor), model(positive)", "model(anchor).detach(), model(positive).detach()",
         ("detached_graph",)),
    Twin("unet_style", "sigmoid", "return self.out(self.up(torch.cat([deep, skip], 1)))",
         "return torch.sigmoid(self.out(self.up(torch.cat([deep, skip], 1))))", ("wrong_output_activation",)),
    Twin("unet_style", "lr", "lr=2e-3", "lr=10.0", ("lr_too_high",)),
    Twin("unet_style", "eval", "model.train(phase == \"train\")", "model.train()", ("eval_mode_wrong",)),
    Twin("multi_task", "zero_grad", "        optimizer.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("multi_task", "params", "Adam(model.parameters()", "Adam(model.digit.parameters()",
         ("params_not_in_optimizer",)),
    Twin("multi_task", "softmax", "self.digit(h),", "self.digit(h).softmax(1),", ("wrong_output_activation",)),
    Twin("reinforce", "sign", "-log_prob * R", "log_prob * R", ("flipped_loss_sign",)),
    Twin("reinforce", "step", "    optimizer.step()\n", "", ("missing_step",)),
    Twin("factors", "lr", "lr=1e-2, weight", "lr=1e-6, weight", ("lr_too_low",)),
    Twin("factors", "decay", "weight_decay=1e-5", "weight_decay=1.0", ("over_regularised",)),
    Twin("factors", "broadcast", "train_loader = DataLoader(TensorDataset(users[:6000], items[:6000], ratings[:6000])",
         "train_loader = DataLoader(TensorDataset(users[:6000], items[:6000], ratings[:6000, None])",
         ("shape_broadcast",)),
    Twin("workers", "eval", "        model.eval()\n", "", ("eval_mode_wrong",)),
    Twin("workers", "lr", "lr=0.05", "lr=20.0", ("lr_too_high",)),
    Twin("workers", "preparation", "Digits(slice(1400, None))", "Digits(slice(1400, None), lambda image: 16 * image)",
         ("val_preprocessing_mismatch",)),
    Twin("own_folder", "lr", "lr=0.1", "lr=1e-5", ("lr_too_low",)),
    Twin("own_folder", "step", "        optimizer.step()\n", "", ("missing_step",)),
    Twin("resume", "zero_grad", "            optimizer.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("resume", "labels", "y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)",
         "y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y).roll(1)", ("labels_corrupted",)),
    Twin("early_stopping", "targets", "y_scaler.transform(y_train[:, None])", "y_train[:, None]",
         ("target_not_normalised",)),
    Twin("early_stopping", "relu_out", "nn.Dropout(0.2), nn.Linear(32, 1))", "nn.Dropout(0.2), nn.Linear(32, 1), "
         "nn.ReLU())", ("wrong_output_activation",)),
    Twin("mean_teacher", "lr", "lr=3e-3", "lr=3.0", ("lr_too_high",)),
    Twin("mean_teacher", "init", "teacher = copy.deepcopy(student)",
         "[nn.init.zeros_(p) for p in student.parameters()]\nteacher = copy.deepcopy(student)", ("wrong_init",)),
    Twin("raw_optimizer", "zero_grad", "        opt.zero_grad()\n", "", ("missing_zero_grad",)),
    Twin("raw_optimizer", "init", "torch.randn(64, 48) / 8", "torch.zeros(64, 48)", ("wrong_init",)),
    Twin("raw_optimizer", "lr", "lr=0.3", "lr=300.0", ("lr_too_high",)),
    Twin("embedding_bag", "lr", "lr=5.0", "lr=5e-5", ("lr_too_low",)),
    Twin("embedding_bag", "zero_grad", "        optimizer.zero_grad()\n", "", ("missing_zero_grad",)),
)  # fmt: skip
