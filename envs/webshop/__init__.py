"""WebShop without a server: see `layergym.envs.webshop.env.WebShop`."""

from layergym.envs.webshop.env import WebShop

__all__ = ["WebShop"]
