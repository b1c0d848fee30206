import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# Set SECRET_KEY with `heroku config:set`; nothing here is signed with it that has to outlive a restart.
SECRET_KEY = os.environ.get('SECRET_KEY') or os.urandom(32).hex()
DEBUG = False
ALLOWED_HOSTS = ['*']
INSTALLED_APPS = ['django.contrib.staticfiles', 'pages']
MIDDLEWARE = ['django.middleware.security.SecurityMiddleware', 'django.middleware.common.CommonMiddleware']
ROOT_URLCONF = 'site_config.urls'
TEMPLATES = [{'BACKEND': 'django.template.backends.django.DjangoTemplates', 'APP_DIRS': True}]
DATABASES = {}
USE_TZ = True

STATIC_URL = '/static/'
STATIC_ROOT = BASE_DIR / 'staticfiles'
STATICFILES_STORAGE = 'django.contrib.staticfiles.storage.ManifestStaticFilesStorage'
