import numpy as np


def train_step(X, y):
    """X (batch, 784) float32, y (batch,) int64 -> float32; updates W1, b1, W2, b2."""
    global W1, b1, W2, b2
    batch = X.shape[0]
    t1 = X @ W1 + b1
    hidden = np.maximum(t1, 0)
    logits = hidden @ W2 + b2
    t2 = logits - logits.max(axis=1, keepdims=True)
    t3 = np.exp(t2)
    t4 = t3.sum(axis=1, keepdims=True)
    t5 = np.arange(batch)[:, None]
    t6 = y[:, None]
    loss = -((t2 - np.log(t4))[t5, t6].sum() / batch)
    t7 = -np.divide(1, batch, dtype=np.float32)
    t8 = np.zeros((batch, 10), dtype=np.float32)
    t8[t5, t6] = t7
    grad_logits = t8 - t8.sum(axis=1, keepdims=True) * (t3 / t4)
    grad_hidden = grad_logits @ W2.T
    t9 = np.where(t1 > 0, grad_hidden, 0)
    grad_W1 = X.T @ t9
    grad_b1 = t9.sum(axis=0)
    grad_W2 = hidden.T @ grad_logits
    grad_b2 = grad_logits.sum(axis=0)
    W1 -= 0.1 * grad_W1
    b1 -= 0.1 * grad_b1
    W2 -= 0.1 * grad_W2
    b2 -= 0.1 * grad_b2
    return loss
