"""Evaluation of exported models; never imports training."""
