"""Agents and samplers behind servers: OpenAI-compatible ones and vLLM."""
