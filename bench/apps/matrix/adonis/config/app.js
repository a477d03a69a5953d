import { defineConfig } from '@adonisjs/core/http';

export const appKey = 'thirty-two characters of no secret';
export const http = defineConfig({});
