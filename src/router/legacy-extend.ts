import util from 'node:util';

/**
 * http-proxy 1.18.1 copies objects with `util._extend`, for which Node 22 and newer print a deprecation warning
 * (DEP0060). Node's documentation names Object.assign as its replacement; loaded before http-proxy, this makes it so.
 */
Object.assign(util, { _extend: Object.assign });
