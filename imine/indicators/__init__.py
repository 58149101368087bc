"""Indicators: what is computed for every example, cheaply, without finetuning."""
