"""GAN-made medical images, from raw photographs to an honest answer. One idea a file; imports only
go down the floors."""

__version__ = "0.1.0"
